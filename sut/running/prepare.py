"""Everything that can be checked before an instance is loaded: files, vocabulary, model, log directory, disk.

A failure here takes a second or two; no process was started and no file is left.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from accuracy.targets import Target
from backends import accelerators
from backends import check as check_backend
from backends.base import Options
from backends.bert import checkpoints
from backends.bert.heads import HEADS
from backends.bert.model import Model
from backends.quantization import engine_store
from foundation import file_stamps
from foundation.file_stamps import FileStamp
from foundation.steps import doing
from qsl.base import Features
from qsl.data_set import DataSet
from sut.executors.worker import WorkerSpec
from sut.fetch import resolve as asset_paths
from sut.machine import facts as machine_facts
from sut.machine.topology import Place, Topology
from sut.running import engines, inputs, instances_plan, log_dir, model_choice, notices, target, warm_up
from sut.running.instances_plan import InstancesPlan
from sut.settings import audit_config, fp16_fallback, user_conf
from sut.settings import target as settings_target
from sut.settings.loadgen_lines import LoadGenFile
from sut.settings.settings import RunConfig
from sut.tasks import TASKS, Task

_USER_CONF = Path("user.conf")  # read if it exists in the current directory


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A run that is ready to start: the resolved configuration and everything that it names."""

    asked: RunConfig  # as given
    config: RunConfig  # dataset, vocab, log_dir, instances, cores_per_instance, threads, cache_dir are set
    task: Task
    model: Model
    data: DataSet
    samples: int  # size of the QSL
    worker: WorkerSpec
    user_conf: LoadGenFile
    audit_config: LoadGenFile
    places: tuple[Place, ...]  # one for each instance on this machine
    instances: int  # of remote ones, the number is known when the nodes are connected
    topology: Topology | None  # the machine's cores and the plan; None: all instances are on nodes
    nodes_accelerated: bool = False  # remote ones, likewise
    target: Target | None  # the target to reach; None if there is none
    precision: str  # that runs: of an .onnx file that runs as it is, the file's
    zero_weights: float | None  # share of an .onnx file's weights that are 0
    stamps: Mapping[Path, FileStamp | None]  # of the files that instances read, before they do
    notices: tuple[str, ...]  # printed with every figure; a run with any of them cannot be submitted
    environment: Mapping[str, str]  # that this process was started with: an instance in it changes some
    warnings: tuple[str, ...] = ()  # what makes the figure lower than it could be; they change no verdict

    @property
    def accelerated(self) -> bool:
        """Whether instances compute on GPUs, which prepare a batch while the last one runs."""
        return self.nodes_accelerated or bool(self.topology and self.topology.gpus)

    @property
    def features(self) -> Features:
        return self.data.features

    def after_test(self) -> Prepared:
        """The same with a notice if a file that an instance read is another one by now."""
        changed = ", ".join(path.name for path in file_stamps.changed(self.stamps))
        if not changed:
            return self
        notice = f"{changed} changed during the run: not submittable, since what ran is not known"
        return replace(self, notices=(*self.notices, notice))

    @property
    def counted(self) -> RunConfig:
        """`config` for LoadGen, with --steps converted into a number of queries."""
        queries = warm_up.queries(self.config, self.worker.shapes, self.instances)
        return replace(self.config, test_query_count=queries)

    @property
    def cache_dir(self) -> Path:
        return asset_paths.cache_dir(self.config)

    @property
    def load_step(self) -> tuple[object, ...]:
        """What decides how long the instances take to load and to warm up."""
        config = self.config
        engine = (config.backend, self.precision, config.model, config.fpmath_mode)
        where = (self.instances, config.threads, config.executor, config.node or config.address)
        return "load", *engine, *where, self.worker.shapes, config.warmup_steps

    @property
    def is_forked(self) -> bool:
        """Whether instances share what one loader has loaded."""
        return self.topology is not None and self.topology.weights_shared


def prepare(asked: RunConfig, logs: Path | None = None, *, builds: bool = True) -> Prepared:
    """Resolve every choice and check every input; cheap checks and likely mistakes come first.

    Args:
        logs: the log directory, which exists; None: the one in `asked`.
        builds: whether to build an engine that is missing; otherwise the model has none.

    Raises:
        UsageError, DatasetError, BackendError, UnknownTargetError: the first setting or file that cannot be used.
    """
    task = TASKS[asked.task]
    requested = settings_target.parse(asked)
    if not asked.is_on_nodes:
        check_backend(asked.backend)
        gpus = accelerators(asked.backend)
    config = fp16_fallback.resolve(asked)
    audit = audit_config.read(config)
    model = model_choice.model_of(config, task)
    stamps = file_stamps.of_all([*checkpoints.files(model), *filter(None, [config.calibration_list])])
    plan = None if asked.is_on_nodes else instances_plan.plan(config, model, gpus)
    batch_tokens = plan.max_batch_tokens if plan else instances_plan.asked_batch_tokens(config)
    config = replace(config, max_batch_tokens=batch_tokens)
    with doing("reading the data set"):
        read = inputs.read(config, task, model)
    data = read.data
    if plan:
        plan.check_memory(config, model, data.features.total_tokens)
    resolved = replace(_resolved(config, plan, data), log_dir=logs or asked.log_dir)
    conf = user_conf.read(resolved, task.model_key, read.samples, pipes=True)
    model = model if asked.executor == "remote" else engines.ready(config, model, data.sibling, builds=builds)
    judged = requested or target.default(asked, model, task, read.samples)
    worker = _worker(resolved, model, data)
    graph = model_choice.graph_weights(model)
    stamps |= file_stamps.of_all(engine_store.files(model))
    if logs:
        log_dir.check_space(logs, _logged_rows(config, task, data.features))
    return Prepared(
        asked=asked,
        config=resolved,
        task=task,
        model=model,
        data=data,
        samples=read.samples,
        worker=worker,
        user_conf=conf,
        audit_config=audit,
        places=plan.places if plan else (),
        instances=len(plan.places) if plan else 0,
        topology=plan.facts(dict(worker.environment)) if plan else None,
        target=judged,
        precision=model_choice.precision(config, model, graph.types if graph else {}),
        zero_weights=graph.zeros if graph else None,
        stamps=stamps,
        environment=machine_facts.environment(),
        notices=(*fp16_fallback.notices(asked), *notices.of(resolved, model, task, judged, data)),
    )


def _resolved(config: RunConfig, plan: InstancesPlan | None, data: DataSet) -> RunConfig:
    """The configuration with all choices filled in."""
    return replace(
        config,
        dataset=data.file.path,
        vocab=data.vocab.path,
        cache_dir=data.cache_dir,
        instances=len(plan.places) if plan else None,
        cores_per_instance=plan.cores if plan else None,
        threads=config.threads or (plan.cores if plan else None),
        user_conf=config.user_conf or (_USER_CONF if _USER_CONF.is_file() else None),
    )


def _worker(config: RunConfig, model: Model, data: DataSet) -> WorkerSpec:
    """The specification of the instances, which is the same for all."""
    return WorkerSpec(
        backend=config.backend,
        options=Options(
            config.precision, config.threads or 1, config.fpmath_mode or "strict", access=model_choice.access(config)
        ),
        model=model,
        features=data.handle,
        vocab=data.vocab.path,
        max_tokens=max(config.batch_tokens, int(data.features.lengths.max())),
        shapes=warm_up.warm_up_shapes(config, data.features),
        environment=instances_plan.environment(config),
        warmup_steps=config.warmup_steps,
        verbose_dir=config.logs.resolve() if config.verbose else None,
    )


def _logged_rows(config: RunConfig, task: Task, features: Features) -> int:
    """Rows of answers that LoadGen will log: all in accuracy mode and for an audit, otherwise none."""
    logs_answers = config.mode == "accuracy" or config.audit_config is not None
    return int(HEADS[task.head].rows(features.lengths).sum()) if logs_answers else 0
