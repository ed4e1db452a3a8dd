"""Everything that can be checked before an instance is loaded: files, vocabulary, model, log directory, disk.

What fails here fails in a second or two, with nothing started and nothing left behind.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from accuracy.targets import Target, target
from backends import BACKENDS, accelerators
from backends import check as check_backend
from backends.base import Accelerator, Options
from backends.bert.checkpoints import find_model, with_answers, with_config
from backends.bert.heads import HEADS
from backends.bert.model import Model
from backends.errors import BackendError
from backends.fake import FAKE, read_script
from backends.replay import REPLAY, read_spec
from qsl.base import Features
from qsl.wordpiece import WordPiece
from sut.errors import UsageError
from sut.executors.worker import WorkerSpec
from sut.fetch import resolve as asset_paths
from sut.machine import memory, topology
from sut.machine.topology import Place
from sut.run import engines, log_dir, warm_up
from sut.settings import fp16_fallback, user_conf
from sut.settings import target as settings_target
from sut.settings.resolve import DEMO, RunConfig, default_log_dir
from sut.tasks import TASKS, Task

# A published model may have its embedding table padded to a round number of rows, never to more than this many.
_SPARE_VOCABULARY = 128
# What any core computes in a second, the longest sample, what part of the target latency it may take on one core, and
# the benchmark's target.
_SURE_OPERATIONS_PER_S, _LONGEST, _QUICK_SHARE, _TARGET_LATENCY_MS = 20e9, 384, 0.25, 130


@dataclass(frozen=True)
class Prepared:
    """A run that can start: the configuration with every open choice made, and what it names."""

    asked: RunConfig  # as given, no choice made
    config: RunConfig  # dataset, vocab, log_dir, instances, cores_per_instance, threads, cache_dir are set
    task: Task
    model: Model
    features: Features
    samples: int  # size of the QSL: all features, or in an accuracy trial the first few
    worker: WorkerSpec
    places: tuple[Place, ...]  # one for each instance
    topology: dict[str, Any]  # the machine's cores and that plan, for run.json
    target: Target | None  # what the run must reach; None where nothing is judged
    zero_weights: float | None  # of an .onnx file, the share of its weights that are 0
    notices: tuple[str, ...]  # what must stand beside every figure; a run with one of them can never be submitted

    @property
    def counted(self) -> RunConfig:
        """`config` for LoadGen: its steps as a number of queries."""
        queries = warm_up.queries(self.config, self.worker.shapes, len(self.places))
        return replace(self.config, test_query_count=queries)

    @property
    def is_forked(self) -> bool:
        """True when instances share what one loader has loaded."""
        return bool(self.topology["weights_shared"])


def prepare(config: RunConfig) -> Prepared:
    """Make every open choice and check every input.

    Raises:
        UsageError, DatasetError, BackendError: the first thing that cannot be used.
    """
    task = TASKS[config.task]
    wanted = settings_target.wanted(config, task)
    check_backend(config.backend)
    gpus = accelerators(config.backend)
    asked, config = config, fp16_fallback.resolve(config)
    _check_audit(config)
    machine = topology.this_machine()
    instances = _instances(config, gpus)
    model = model_of(config, task)
    config = replace(config, max_batch_tokens=_batch_tokens(config, model, gpus))
    cores = config.cores_per_instance or _shared_cores(config, model)
    places = topology.on_gpus(topology.plan(machine, config.scenario, instances, cores), len(gpus))
    options = Options(config.precision, config.threads or places[0].cores, config.fpmath_mode or "strict")
    dataset, vocab, cache_dir = asset_paths.dataset(config), asset_paths.vocab(config), asset_paths.cache_dir(config)
    check_vocabulary(model, vocab)
    features = task.load(dataset, vocab, cache_dir)
    _check_lengths(model, features)
    if config.mode == "accuracy":
        task.check(dataset)
    samples = len(features)
    if config.mode == "accuracy" and config.test_query_count:
        samples = min(samples, config.test_query_count)
    resolved = replace(
        config,
        dataset=dataset,
        vocab=vocab,
        cache_dir=cache_dir,
        instances=len(places),
        cores_per_instance=places[0].cores,
        threads=options.threads,
        log_dir=config.log_dir or default_log_dir(config),
        user_conf=config.user_conf or _default_user_conf(),
    )
    forked = _is_forked(resolved)
    memory.check(memory.need(resolved, model, places, features.total_tokens, forked=forked), memory.available())
    user_conf.read(resolved, task.model_key)  # its errors belong before anything is loaded
    model = engines.ready(config, model, vocab, cache_dir)
    shapes = warm_up.warm_up_shapes(config, features)
    most = max(config.max_batch_tokens, int(features.lengths.max()))
    variables = environment(config)
    worker = WorkerSpec(
        config.backend,
        options,
        model,
        config.task,
        dataset,
        vocab,
        cache_dir,
        most,
        shapes,
        variables,
        config.warmup_steps,
        resolved.logs.resolve() if config.verbose else None,
    )
    judged = wanted or _default_target(config, model, task, samples)
    logs_answers = config.mode == "accuracy" or config.audit_config is not None
    rows = int(HEADS[task.head].rows(features.lengths).sum())
    log_dir.claim(resolved.logs, rows if logs_answers else 0)
    return Prepared(
        asked,
        resolved,
        task,
        model,
        features,
        samples,
        worker,
        places,
        topology.facts(machine, places, forked, dict(worker.environment), [gpu.name for gpu in gpus]),
        judged,
        _zero_weights(model),
        (*fp16_fallback.notices(asked), *_notices(resolved, model, task, judged, features)),
    )


RANDOM = "random weights: for speed alone, the answers mean nothing"
# Backends that run no model: what their --model says is not a model, and is read by themselves.
MODELLESS: dict[str, Callable[[str], object]] = {FAKE: read_script, REPLAY: read_spec}
# Fields of RunConfig that engines' libraries read from the environment.
_VARIABLES = {
    "fpmath_mode": "DNNL_DEFAULT_FPMATH_MODE",
    "torch_mkldnn_matmul_min_dim": "TORCH_MKLDNN_MATMUL_MIN_DIM",
}


_VERBOSE = ("ONEDNN_VERBOSE", "DNNL_VERBOSE")  # oneDNN's name for it, and the one that older releases read


def environment(config: RunConfig) -> tuple[tuple[str, str], ...]:
    values = {variable: getattr(config, field) for field, variable in _VARIABLES.items()}
    verbose = dict.fromkeys(_VERBOSE, 1) if config.verbose else {}
    return tuple((variable, str(value).upper()) for variable, value in (values | verbose).items() if value is not None)


def _check_audit(config: RunConfig) -> None:
    """LoadGen passes over an audit.config that it cannot open."""
    if config.audit_config and not config.audit_config.is_file():
        raise UsageError(
            f"expected LoadGen's audit settings in {config.audit_config}, found no file. See --audit-config."
        )


def _instances(config: RunConfig, gpus: tuple[Accelerator, ...]) -> int | None:
    """What was asked for; else one on each GPU, for a stream on one of them, or None: what the cores hold."""
    if config.executor == "inline" or config.instances or not gpus:
        return 1 if config.executor == "inline" else config.instances
    return 1 if topology.CORES_PER_INSTANCE[config.scenario] is None else len(gpus)


def _batch_tokens(config: RunConfig, model: Model, gpus: tuple[Accelerator, ...]) -> int:
    if config.max_batch_tokens != RunConfig.max_batch_tokens or not gpus or model.config is None:
        return config.max_batch_tokens
    return gpus[0].batch_tokens(model.config)


def _shared_cores(config: RunConfig, model: Model) -> int | None:
    """Cores of an instance where nothing is lost by having many; None: the scenario's own."""
    several = config.executor == "processes" and config.instances is None
    shares = several and BACKENDS[config.backend].forkable and sys.platform == "linux"
    return topology.ALONE if shares and _is_quick_on_one_core(config, model) else None


def _is_quick_on_one_core(config: RunConfig, model: Model) -> bool:
    """True in Offline, where no sample is waited for; in Server where even the longest one takes a core, and be it a
    slow one, a small part of the target latency (docs/guide/tuning.md)."""
    if config.scenario != "Server" or model.config is None:
        return config.scenario == "Offline"
    longest_s = model.config.operations_per_token * _LONGEST / _SURE_OPERATIONS_PER_S
    return longest_s <= _QUICK_SHARE * (config.target_latency_ms or _TARGET_LATENCY_MS) / 1e3


def _is_forked(config: RunConfig) -> bool:
    """Elsewhere than on Linux, system libraries do not survive a fork."""
    several = config.executor == "processes" and (config.instances or 1) > 1
    return several and BACKENDS[config.backend].forkable and sys.platform == "linux"


def model_of(config: RunConfig, task: Task) -> Model:
    if config.backend not in MODELLESS:
        model = find_model(asset_paths.model_spec(config), task.head)
        model = with_answers(model) if engines.runs_graph(config, model) else with_config(model)
        _check_head(model, task)
        return model
    spec = config.backend if config.model == DEMO else config.model
    MODELLESS[config.backend](spec)
    return Model(spec, None, None, answers=task.head)


def _check_head(model: Model, task: Task) -> None:
    if model.head != task.head:
        fitting = next(name for name, other in TASKS.items() if other.head == model.head)
        raise UsageError(
            f"expected a model for {HEADS[task.head].title}, found {model.spec}, one for {HEADS[model.head].title} "
            f"(by its outputs, or the architectures of its config.json). Type: --task {fitting}, or another --model."
        )


def _zero_weights(model: Model) -> float | None:
    if model.path is None or model.path.suffix != ".onnx":
        return None
    from backends.onnxruntime_cpu import sparsity

    return sparsity.share(model.path)


def _notices(config: RunConfig, model: Model, task: Task, judged: Target | None, features: Features) -> tuple[str, ...]:
    assert config.dataset is not None
    official = hashlib.sha256(config.dataset.read_bytes()).hexdigest() == task.dataset_sha256
    no_benchmark = not task.targets
    own_target = config.mode == "accuracy" and (judged is None or judged.name not in task.targets)
    found = {
        "trial run (--execution-mode test): not submittable": config.is_trial,
        RANDOM: model.is_random,
        engines.OWN_DATA: model.engine is not None and engines.was_calibrated_on(model.engine, features),
        "fake backend: no model ran, the answers mean nothing": config.backend == FAKE,
        "replay backend: no model ran, stored answers were given again": config.backend == REPLAY,
        "not a task of MLPerf's: not submittable": not config.is_trial and no_benchmark,
        "not the benchmark's data set: not submittable": not (config.is_trial or no_benchmark or official),
        "not one of the benchmark's accuracy targets: not submittable": (
            own_target and not (config.is_trial or no_benchmark)
        ),
    }
    return tuple(words for words, applies in found.items() if applies)


def check_vocabulary(model: Model, vocab: Path) -> None:
    words = len(WordPiece(vocab))
    if model.config is None:
        return
    rows = model.config.vocab_size
    too_few = rows - words >= _SPARE_VOCABULARY and not model.is_random
    if words > rows or too_few:
        raise BackendError(
            f"expected the vocabulary that {model.spec} was trained with, about {rows} tokens; "
            f"found {words} in {vocab}. Name the model's own with --vocab FILE."
        )


def _check_lengths(model: Model, features: Features) -> None:
    longest = int(features.lengths.max())
    if model.config is not None and longest > model.config.max_position_embeddings:
        raise BackendError(
            f"expected a model for samples of {longest} tokens, "
            f"found {model.spec} with {model.config.max_position_embeddings} positions."
        )


def _default_user_conf() -> Path | None:
    here = Path("user.conf")
    return here if here.is_file() else None


def _default_target(config: RunConfig, model: Model, task: Task, samples: int) -> Target | None:
    """The demo's own on the demo; the official one on the full data set; none for random weights or other data."""
    if config.mode != "accuracy":
        return None
    if config.model == DEMO and config.dataset is None and config.backend != FAKE:
        return target(task.demo.target, task.metric)
    if task.targets and samples == task.full_size and not model.is_random and config.backend != FAKE:
        return target(task.targets[0], task.metric)
    return None
