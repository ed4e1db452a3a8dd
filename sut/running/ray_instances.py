"""The instances of a run on a Ray cluster: connects, looks at the nodes, sends what they lack, starts agents."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, TimeoutError
from dataclasses import replace
from functools import cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from backends import BACKENDS
from backends.bert import checkpoints
from backends.bert.heads import HEADS
from backends.quantization import engine_store
from foundation import installation
from qsl.base import Features
from qsl.feature_cache import FeatureFiles
from sut.errors import UsageError, UserError
from sut.executors.base import LOAD_PATIENCE_S, Executor, Ready, load_stalled
from sut.executors.fleet.member import About
from sut.executors.ray_cluster.executor import RayExecutor, Started, Terms
from sut.machine.topology import Place
from sut.nodes.errors import NodeError
from sut.running import warm_up
from sut.running.prepare import Prepared
from sut.running.ray_agent import NodeAgent, NodeTask, Sight, look
from sut.running.shipped_files import FileSet

if TYPE_CHECKING:
    from sut.executors.ray_cluster.cluster import RayCluster

T = TypeVar("T")

_LOOK_S = 120.0  # for a node to say what it has: it hashes the model
_STEP_S = 0.5
_NO_FEATURES = Features(np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(1, np.int64))


def connect(prepared: Prepared) -> tuple[Prepared, Executor]:
    """Connect to the cluster; returns the run with what its nodes say, and the executor, which has not been started.

    Raises:
        UsageError: the cluster or a node of it cannot be used as asked.
        NodeError: a node does not answer.
    """
    if find_spec("ray") is None:
        raise UsageError(f"--executor ray needs ray, which is not installed. Type: {installation.command('ray')}")
    from sut.executors.ray_cluster import cluster as ray_cluster  # only now: it takes most of a second

    config = prepared.config
    gpus = bool(BACKENDS[config.backend].accelerators)
    cluster = ray_cluster.connect(config.address, config.nodes, allow_open=config.allow_open_cluster, gpus=gpus)
    try:
        return with_cluster(prepared, cluster)
    except BaseException:
        cluster.close()
        raise


def with_cluster(
    prepared: Prepared, cluster: RayCluster, places: tuple[Place, ...] | None = None
) -> tuple[Prepared, RayExecutor]:
    """The same on a cluster that is connected. `places` are those of each node's instances; None: as it plans them."""
    task = _task(prepared, places)
    numbers = range(len(cluster.nodes))
    looks = [cluster.run(number, look, task) for number in numbers]
    sights = [_sight(cluster, number, found) for number, found in zip(numbers, looks, strict=True)]
    joined = _with_nodes(prepared, sights)
    task = replace(task, worker=replace(joined.worker, features=task.worker.features))
    launcher = _Launcher(cluster, task, prepared.features, dict(zip(numbers, sights, strict=True)))
    terms = Terms(
        rows=HEADS[prepared.task.head].rows(prepared.features.lengths),
        batch_tokens=joined.config.batch_tokens,
        patience_s=joined.config.stall_timeout_s,
        scenario=joined.config.scenario,
    )
    abouts = [launcher.about(number, sight) for number, sight in zip(numbers, sights, strict=True)]
    return joined, RayExecutor(cluster, launcher.launch, abouts, terms)


def _task(prepared: Prepared, places: tuple[Place, ...] | None) -> NodeTask:
    model, handle = prepared.model, prepared.worker.features
    return NodeTask(
        config=replace(prepared.asked, dataset=None, vocab=None, log_dir=None),
        worker=replace(prepared.worker, features=_NO_FEATURES),
        features=handle if isinstance(handle, FeatureFiles) else None,
        model_files=None if model.path is None else FileSet.of(model.path, checkpoints.files(model)),
        engine_files=None if model.engine is None else FileSet.of(model.engine, engine_store.files(model)),
        total_tokens=prepared.features.total_tokens,
        places=places,
    )


def _sight(cluster: RayCluster, number: int, future: Future[Sight], closing: threading.Event | None = None) -> Sight:
    name = cluster.name(number)
    try:
        sight = _wait(future, _LOOK_S, closing or threading.Event())
    except TimeoutError:
        raise NodeError(
            f"expected node {name} to say what it has within {_LOOK_S:g} s, found that it does not"
        ) from None
    except UserError as error:
        raise UsageError(f"node {name}: {error}") from error
    ours = installation.version()
    if sight.package != ours:
        raise UsageError(f"expected version {ours} of this package on node {name}, as here, found {sight.package}.")
    return sight


def _wait(future: Future[T], patience_s: float, closing: threading.Event) -> T:
    """The result of a call, unless the run ends meanwhile. Raises TimeoutError."""
    until_s = time.monotonic() + patience_s
    while not closing.is_set():
        try:
            return future.result(timeout=_STEP_S)
        except TimeoutError:
            if future.done() or time.monotonic() > until_s:
                raise
    raise NodeError("the run has ended")


def _with_nodes(prepared: Prepared, sights: list[Sight]) -> Prepared:
    """The run with the size of batches that all nodes take."""
    is_asked = prepared.asked.max_batch_tokens or prepared.asked.batch_size
    tokens = prepared.config.batch_tokens if is_asked else min(one.max_batch_tokens for one in sights)
    config = replace(prepared.config, max_batch_tokens=tokens)
    longest = int(prepared.features.lengths.max())
    shapes = warm_up.warm_up_shapes(config, prepared.features)
    return replace(
        prepared,
        config=config,
        instances=sum(one.instances for one in sights),
        nodes_accelerated=any(one.accelerated for one in sights),
        worker=replace(prepared.worker, shapes=shapes, max_tokens=max(tokens, longest)),
    )


class _Launcher:
    """Starts agents, with what their nodes lack."""

    def __init__(self, cluster: RayCluster, task: NodeTask, features: Features, sights: dict[int, Sight]) -> None:
        self._cluster, self._task, self._features = cluster, task, features
        self._sights = sights  # of nodes that no agent has been started on
        self._lock = threading.Lock()

    def launch(self, number: int, closing: threading.Event) -> Started:
        """See `ray_cluster.executor.Launch`. Raises the error of the node's instances."""
        cluster, task = self._cluster, self._task
        sight = self._sights.pop(number, None)
        if sight is None:  # a node that was lost: by now it may be another one
            sight = _sight(cluster, number, cluster.run(number, look, task), closing)
        with self._lock:
            features = None if sight.has_features else self._features_there
            model = [] if sight.has_model else self._model_there
            engine = [] if sight.has_engine else self._engine_there
        agent = cluster.start(number, NodeAgent, task, features, len(model), *model, *engine)
        patience_s = task.config.stall_timeout_s or LOAD_PATIENCE_S
        try:
            ready: list[Ready] = _wait(agent.call("ready"), patience_s, closing)
        except TimeoutError:
            agent.kill()
            raise load_stalled(f"node {cluster.name(number)}", patience_s) from None
        except BaseException:
            agent.kill()
            raise
        return Started(agent, self.about(number, sight), ready)

    def about(self, number: int, sight: Sight) -> About:
        return About(
            address=self._cluster.name(number),
            name=sight.name,
            instances=sight.instances,
            planned_for=self._task.config.scenario,
            sent="indexes",
            engine=None if self._task.worker.model.engine is None else self._task.worker.model.engine.name,
            machine=sight.machine,
        )

    @cached_property
    def _features_there(self) -> object:
        return self._cluster.put(self._features)

    @cached_property
    def _model_there(self) -> list[object]:
        return self._put(self._task.model_files)

    @cached_property
    def _engine_there(self) -> list[object]:
        return self._put(self._task.engine_files)

    def _put(self, files: FileSet | None) -> list[object]:
        """The content of each file, in the cluster."""
        return [self._cluster.put(np.fromfile(path, np.uint8)) for path in files.paths] if files else []
