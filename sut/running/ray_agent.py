"""What runs on a node of a Ray cluster: plans the node's own cores, and runs its instances by the local executors.

Imports nothing of Ray: the agent is a class whose methods are called from several threads.
"""

from __future__ import annotations

import os
import platform
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from backends import accelerators
from backends import check as check_backend
from backends.bert.model import Model
from foundation import installation
from foundation.arrays import UInt8
from foundation.typed_json import encode
from qsl.base import DatasetError, Features
from qsl.feature_cache import FeatureFiles
from sut.executors.base import LOAD_PATIENCE_S, Ready
from sut.executors.instance import portable
from sut.executors.processes import ProcessExecutor
from sut.executors.ray_cluster.agent_queue import AgentQueue, exit_after_parent, take_a_normal_priority
from sut.executors.ray_cluster.groups import Answers, Batches
from sut.executors.worker import WorkerSpec
from sut.machine import facts as machine_facts
from sut.machine.topology import Place
from sut.nodes.errors import NodeError
from sut.running import instances_plan
from sut.running.instances_plan import InstancesPlan
from sut.running.shipped_files import FileSet
from sut.settings.settings import RunConfig


@dataclass(frozen=True, kw_only=True)
class NodeTask:
    """What a run asks of each node."""

    config: RunConfig  # as the user gave it
    worker: WorkerSpec  # of its instances; the node adds its paths and threads
    features: FeatureFiles | None  # None: they were not written to a cache
    model_files: FileSet | None  # None: random weights, or no model
    engine_files: FileSet | None
    total_tokens: int  # of the data set
    places: tuple[Place, ...] | None = None  # of the instances; None: planned on the node


@dataclass(frozen=True, kw_only=True)
class Sight:
    """What a node has, before an agent is started."""

    package: str
    name: str
    instances: int
    max_batch_tokens: int
    accelerated: bool
    has_features: bool
    has_model: bool
    has_engine: bool
    machine: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Sent:
    """What a node lacks, as it is sent: features, and contents of files in the order of their names."""

    features: Features | None = None
    model: Sequence[UInt8] = ()
    engine: Sequence[UInt8] = ()


def look(task: NodeTask) -> Sight:
    """What this node has, and its plan. Raises UsageError or BackendError if it cannot run the task."""
    check_backend(task.config.backend)
    plan = _plan(task)
    variables = dict(task.worker.environment)
    return Sight(
        package=installation.version(),
        name=platform.node(),
        instances=len(_places(task, plan)),
        max_batch_tokens=plan.max_batch_tokens,
        accelerated=bool(plan.gpus),
        has_features=_has_features(task),
        has_model=task.model_files is None or task.model_files.find() is not None,
        has_engine=task.engine_files is None or task.engine_files.find() is not None,
        machine={"facts": encode(machine_facts.facts()), "topology": encode(plan.facts(variables))},
    )


def _plan(task: NodeTask) -> InstancesPlan:
    config = replace(task.config, executor="processes")  # on a node its instances are local
    if task.places is not None:
        config = replace(config, instances=1)
    plan = instances_plan.plan(config, task.worker.model, accelerators(config.backend))
    plan.check_memory(config, task.worker.model, task.total_tokens)
    return plan


def _places(task: NodeTask, plan: InstancesPlan) -> tuple[Place, ...]:
    return plan.places if task.places is None else task.places


def _has_features(task: NodeTask) -> bool:
    try:
        return task.features is not None and len(task.features.open()) > 0
    except DatasetError:
        return False


class NodeAgent:
    """The agent of a node. It loads and warms up its instances before the constructor returns."""

    def __init__(self, task: NodeTask, features: Features | None, models: int, *contents: UInt8) -> None:
        """`features` and `contents`, the first `models` of which are the model's and the others the engine's, are what
        the node lacks."""
        self._error: Exception | None = None
        for number in (signal.SIGINT, signal.SIGHUP):  # of the run's terminal, if it is on this machine
            signal.signal(number, signal.SIG_IGN)
        take_a_normal_priority()
        exit_after_parent()
        os.environ.pop("OMP_NUM_THREADS", None)  # Ray's: 1 for an actor without cores of its own
        try:
            self._start(task, Sent(features, contents[:models], contents[models:]))
        except Exception as error:  # noqa: BLE001 - `ready` raises it: a constructor's would be hidden in Ray's own
            self._error = portable(error)

    def _start(self, task: NodeTask, sent: Sent) -> None:
        plan = _plan(task)
        model = with_paths(task, sent)
        options = replace(task.worker.options, threads=task.config.threads or plan.cores)
        handle = sent.features or task.features or task.worker.features
        worker = replace(task.worker, model=model, options=options, features=handle)
        patience_s = task.config.stall_timeout_s or LOAD_PATIENCE_S
        places = _places(task, plan)
        forked = plan.forked if task.places is None else len(places) > 1
        executor = ProcessExecutor(worker, places, forked=forked, patience_s=patience_s)
        with _without_main():
            self._ready = executor.start()
        self._queue = AgentQueue(executor)

    def ready(self) -> list[Ready]:
        """The speed of each instance. Raises the error of the start."""
        if self._error:
            raise self._error
        return self._ready

    def work(self, batches: Batches) -> None:
        """See `AgentQueue`."""
        self._queue.work(batches)

    def take(self, linger_s: float, batches: Batches | None) -> Answers:
        """See `AgentQueue`."""
        return self._queue.take(linger_s, batches)


def with_paths(task: NodeTask, sent: Sent) -> Model:
    """The model with its paths on this machine."""
    model = task.worker.model
    return replace(
        model, path=_path(task.model_files, sent.model, model.path), engine=_path(task.engine_files, sent.engine, None)
    )


def _path(files: FileSet | None, contents: Sequence[UInt8], otherwise: Path | None) -> Path | None:
    if files is None:
        return otherwise
    found = files.store(contents) if contents else files.find()
    if found is None:
        raise NodeError(f"expected {files.base} to stay as it is while the node starts, found that it changed")
    return found


@contextmanager
def _without_main() -> Iterator[None]:
    """Spawned processes import what the main module is, which here is Ray's, and with it Ray."""
    main = sys.modules["__main__"]
    path = main.__dict__.pop("__file__", None)
    try:
        yield
    finally:
        if path is not None:
            main.__file__ = path
