"""The table of settings: everything that a run can be told, one row each.

Flags, `--help`, the checks of TOML files and presets, "did you mean", the command line of a replay and the table in
docs/guide/settings.md all come from here. To add a setting, add a row. `None` means "not given": the run works the
value out, as `implied` says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, get_type_hints

from backends import BACKENDS
from backends.entry import FP16
from foundation.rules import MIN_DURATION_S, SCENARIOS, SEEDS, SERVER_LATENCY_MS
from foundation.typed_json import NOT_STORED
from sut.settings import presets
from sut.settings.setting import Setting, one_of, row_of, setting

MODES = ("performance", "accuracy")
KPIS = ("throughput", "latency", "accuracy")
EXECUTORS = ("processes", "spawned", "inline")
DEMO = "demo"
MAX_BATCH_TOKENS = 1536  # on a CPU, where neither it nor a batch size is given

_BY_BACKEND = "; ".join(
    f"{name}: {', '.join(entry.precisions)}" for name, entry in BACKENDS.items() if entry.runs_model
)
_SET = "ask compare submit"  # verbs that set it for each of their runs, or have none
_WHAT = "what to run"
_LENGTH = "how long, and what to reach"
_CORES = "on which cores, in which batches"
_FILES = "where files are"
_LIBRARIES = "for the engine's libraries and for tools that watch a run"
_ENGINE = "how an int8 or fp8 engine is built, by a run or by `build`"
_SUBMISSION = "for a submission; `submit` sets these itself"


def _tasks(_: Mapping[str, Any]) -> Sequence[str]:
    from sut.tasks import TASKS

    return tuple(TASKS)


def _precisions(values: Mapping[str, Any]) -> Sequence[str]:
    """The chosen backend's, and fp16, which falls back to the best that a CPU has."""
    return tuple(dict.fromkeys((*BACKENDS[values["backend"]].precisions, FP16)))


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One run, with paths and names as the user gave them."""

    # fmt: off
    task: str = setting(
        "squad", "squad: questions about passages, or sst2: sentiment", _WHAT, choices=_tasks, not_for="ask")
    preset: str | None = setting(
        None, "settings to start from, by name; `sut presets` lists them", _WHAT, implied="none",
        choices=lambda _: tuple(presets.table()), not_for="compare", repeated=False)
    scenario: str = setting(
        "Offline", f"LoadGen's scenario: {', '.join(SCENARIOS)}", _WHAT, choices=one_of(*SCENARIOS), not_for=_SET)
    mode: str = setting(
        "performance", f"LoadGen's mode: {', '.join(MODES)}", _WHAT, choices=one_of(*MODES), not_for=_SET)
    backend: str = setting(
        "onnxruntime", f"what computes: {', '.join(BACKENDS)}", _WHAT, choices=lambda _: tuple(BACKENDS))
    model: str = setting(
        DEMO, "demo, a name of `sut assets`, a directory or file of weights, an .onnx file, or random:bert-large, "
        "random:bert-base, random:bert-tiny for speed alone", _WHAT, metavar="WHAT")
    precision: str = setting(
        "fp32", f"number format. {_BY_BACKEND}. fp16 on a CPU becomes the best that it has, and the run says so",
        _WHAT, choices=_precisions, choices_of="backend")
    dataset: Path | None = setting(
        None, "a file of the task (SQuAD v1.1, or SST-2 as TSV or parquet), or a name of `sut assets`", _WHAT,
        implied="demo, the embedded one", not_for="ask")
    vocab: Path | None = setting(
        None, "WordPiece vocabulary", _WHAT, implied="the model's own vocab.txt")

    execution_mode: str = setting(
        "test", "test: short, never submittable; valid: the official length", _LENGTH,
        choices=one_of("test", "valid"), not_for="ask submit")
    test_query_count: int | None = setting(
        None, "queries of a test run", _LENGTH, implied="as many as fit into about 10 s", above=0, not_for="ask")
    steps: int | None = setting(
        None, "length of a test run in full batches of every instance, instead of queries", _LENGTH,
        implied="not used", above=0, not_for="ask")
    warmup_steps: int = setting(
        1, "how often each warm-up shape is run before the clock", _LENGTH, above=0, not_for="ask")
    min_duration_s: float | None = setting(
        None, "shortest run", _LENGTH, implied=f"none in a test run, {MIN_DURATION_S} in a valid one",
        metavar="S", unit="s", least=0, not_for="ask submit")
    target_qps: float | None = setting(
        None, "LoadGen's target_qps", _LENGTH, implied="user.conf, else measured", unit="queries/s", above=0,
        not_for="ask")
    target_latency_ms: float | None = setting(
        None, f"Server's limit at the {SCENARIOS['Server'].percentile}th percentile, in a trial",
        _LENGTH, metavar="MS", unit="ms", above=0,
        implied=f"user.conf, else the benchmark's {SERVER_LATENCY_MS}", not_for="ask compare")
    find_peak: bool = setting(
        False, "Server: the highest target_qps that is valid, by bisection; each probe takes 10 s, or "
        "--min-duration-s", _LENGTH, not_for=_SET)
    target: str | None = setting(
        None, "what to reach, else exit code 1. Accuracy: bert-99, bert-99.9, demo, demo-sst2 or percent; "
        "performance: samples/s at least, ms at most in SingleStream and MultiStream", _LENGTH, metavar="WHAT",
        implied="in accuracy mode the demo's or the benchmark's own", not_for=_SET)
    kpi: str | None = setting(
        None, f"which figure `sut kpi` marks: {', '.join(KPIS)}", _LENGTH,
        implied="the mode's and the scenario's", choices=one_of(*KPIS), not_for="ask")

    executor: str = setting(
        "processes", "processes: weights are loaded once and shared, where the backend can; spawned: each instance "
        "loads its own; inline: one instance in this process", _CORES, choices=one_of(*EXECUTORS), not_for="ask")
    instances: int | None = setting(
        None, "loaded models, each a process on cores of its own", _CORES, implied="what the cores hold", above=0,
        not_for="ask")
    cores_per_instance: int | None = setting(
        None, "cores of an instance, within one NUMA node", _CORES, above=0, not_for="ask",
        implied="all of a node in SingleStream and MultiStream, about 4 in Offline and Server")
    threads: int | None = setting(
        None, "threads of an instance", _CORES, implied="its cores", above=0)
    max_batch_tokens: int | None = setting(
        None, "largest batch, in computed tokens", _CORES, unit="tokens", above=0,
        implied=f"{MAX_BATCH_TOKENS}, or what the batch size takes; more on a GPU")
    batch_size: int | None = setting(
        None, "samples of a batch, nearest in length; --max-batch-tokens limits it only where that is given too",
        _CORES, unit="samples", implied="what the tokens allow", above=0, not_for="ask")

    log_dir: Path | None = setting(
        None, "LoadGen's logs and run.json", _FILES, implied="a new one below runs/", metavar="DIR",
        not_for=f"{_SET} sweep")
    user_conf: Path | None = setting(
        None, "LoadGen's settings by model and scenario", _FILES, implied="./user.conf where there is one",
        not_for="ask")
    cache_dir: Path | None = setting(
        None, "features, engines and the demo data set", _FILES, implied="~/.cache/mlperf-bert-sut", metavar="DIR")

    fpmath_mode: str | None = setting(
        None, "strict, or bf16: fp32 may be multiplied in bfloat16, ARM's fast math; sets DNNL_DEFAULT_FPMATH_MODE "
        "and ONNX Runtime's own", _LIBRARIES, implied="strict", choices=one_of("strict", "bf16"))
    torch_mkldnn_matmul_min_dim: int | None = setting(
        None, "PyTorch on ARM: the smallest matrix side that oneDNN multiplies; sets TORCH_MKLDNN_MATMUL_MIN_DIM",
        _LIBRARIES, implied="PyTorch's own", above=0)
    verbose: bool = setting(
        False, "oneDNN's log of every call, to engine-<pid>.txt in the log directory; sets ONEDNN_VERBOSE and "
        "DNNL_VERBOSE, and takes time", _LIBRARIES, not_for="ask")
    roi: bool = setting(
        False, "print 'Running evaluation' where the timed window begins, and 'Evaluating: 100%' where it ends",
        _LIBRARIES, not_for="ask")

    engine: Path | None = setting(
        None, "an engine that was built before, here or elsewhere", _ENGINE, metavar="DIR", not_for="compare",
        implied="the one in the cache that the settings below decide, built where it is missing")
    calibration_dataset: Path | None = setting(
        None, "a file of the task", _ENGINE,
        implied="the demo's training set; for other models the data set that is run")
    calibration_samples: int | None = setting(
        None, "how many of its samples are drawn", _ENGINE, implied="500; random weights: 16", unit="samples", above=0)
    calibration_list: Path | None = setting(
        None, "which of its samples, as MLPerf lists them: feature indices or question ids", _ENGINE, implied="drawn")
    calibration_seed: int = setting(
        0, "which samples are drawn", _ENGINE, metavar="S", least=0, aliases=("seed",))

    round: str | None = setting(
        None, f"the round with the seeds that LoadGen draws with: {', '.join(SEEDS)}", _SUBMISSION,
        implied="those of its own release", choices=one_of(*SEEDS), not_for="ask")
    audit_config: Path | None = setting(
        None, "LoadGen's audit.config, for a compliance run", _SUBMISSION, implied="none is read", not_for=_SET)
    # fmt: on

    # Names of the settings that were given, so that a given value is repeated even where it equals the default.
    explicit: tuple[str, ...] = field(default=(), compare=False, repr=False, metadata=NOT_STORED)

    @property
    def logs(self) -> Path:
        """`log_dir` of a prepared run, where it is set."""
        assert self.log_dir is not None
        return self.log_dir

    @property
    def batch_tokens(self) -> int:
        """`max_batch_tokens` of a prepared run, where it is set."""
        assert self.max_batch_tokens is not None
        return self.max_batch_tokens

    @property
    def is_trial(self) -> bool:
        """True when the run can never be submitted, whatever its verdict."""
        return self.execution_mode != "valid"


def _rows() -> dict[str, Setting]:
    hints = get_type_hints(RunConfig)
    rows = (row_of(one, hints[one.name]) for one in fields(RunConfig))
    return {row.name: row for row in rows if row is not None}


SETTINGS = _rows()


def values(config: RunConfig) -> dict[str, Any]:
    """Every setting of a run by name, given or not."""
    return {name: getattr(config, name) for name in SETTINGS}
