"""The table of settings: one row for each setting of a run.

Flags, `--help`, the checks of TOML files and presets, suggestions, the command line of a replay, shell completion and
docs/guide/settings.md come from it. To add a setting, add a row and type `make docs`. A setting that is None was not
given: the run chooses its value, as `implied` says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, get_type_hints

from accuracy.targets import TARGETS
from backends import BACKENDS
from backends.entry import FP16, Entry
from foundation.rules import MIN_DURATION_S, SCENARIOS, SEEDS, SERVER_LATENCY_MS
from foundation.typed_json import NOT_STORED
from sut.settings import presets
from sut.settings.setting import Setting, one_of, row_of, setting
from sut.tasks import TASKS, Task

MODES = ("performance", "accuracy")
KPIS = ("throughput", "latency", "accuracy")
ON_NODES = ("remote", "ray")
EXECUTORS = ("processes", "spawned", "inline", *ON_NODES)
DEMO = "demo"
MAX_BATCH_TOKENS = 1536  # on a CPU, where neither this setting nor a batch size is given

_OTHERS = "one of another package by its name, or package.module:NAME (docs/design/adding-a-%s.md)"
_SET = "ask compare submit"  # verbs that set it themselves for each run
_WHAT = "what to run"
_LENGTH = "length and targets"
_CORES = "instances and batches"
FILES = "files"
_LIBRARIES = "engine libraries and tracing"
_ENGINE = "int8 and fp8 engines"
_NODES = "nodes"
_SUBMISSION = "submissions; `submit` sets these itself"


def _by_backend(rows: Mapping[str, Entry]) -> str:
    return "; ".join(f"{name}: {', '.join(entry.precisions)}" for name, entry in rows.items() if entry.runs_model)


def _by_task(rows: Mapping[str, Task]) -> str:
    return "; ".join(f"{name}: {task.about}" for name, task in rows.items())


def _precisions(values: Mapping[str, Any]) -> Sequence[str]:
    """Those of the chosen backend, and fp16, for which a CPU runs the best that it has."""
    return tuple(dict.fromkeys((*BACKENDS[values["backend"]].precisions, FP16)))


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One run, with paths and names as the user gave them."""

    # fmt: off
    task: str = setting(
        "squad", f"{_by_task(TASKS.own)}; {_OTHERS % 'task'}", _WHAT,
        choices=lambda _: TASKS.names(), plugged=TASKS.__getitem__, not_for="ask",
        also=lambda: _by_task(TASKS.of_others()))
    preset: str | None = setting(
        None, "settings to start from, by name; `sut presets` lists them", _WHAT, implied="none",
        choices=lambda _: tuple(presets.table()), not_for="compare tune", repeated=False)
    scenario: str = setting(
        "Offline", f"LoadGen's scenario: {', '.join(SCENARIOS)}", _WHAT, choices=one_of(*SCENARIOS), not_for=_SET)
    mode: str = setting(
        "performance", f"LoadGen's mode: {', '.join(MODES)}", _WHAT, choices=one_of(*MODES),
        not_for=f"{_SET} serve tune")
    backend: str = setting(
        "onnxruntime", f"engine that runs the model: {', '.join(BACKENDS.own)}; {_OTHERS % 'backend'}", _WHAT,
        choices=lambda _: BACKENDS.names(), plugged=BACKENDS.__getitem__, also=lambda: ", ".join(BACKENDS.of_others()))
    model: str = setting(
        DEMO, "demo, a name of `sut assets`, a directory or file of weights, an .onnx file, or random:bert-large, "
        "random:bert-base, random:bert-tiny for speed only", _WHAT, metavar="WHAT")
    precision: str = setting(
        "fp32", f"number format. {_by_backend(BACKENDS.own)}. On a CPU, fp16 selects the fastest precision there and "
        "prints a notice", _WHAT, choices=_precisions, choices_of="backend",
        also=lambda: _by_backend(BACKENDS.of_others()))
    dataset: Path | None = setting(
        None, "data set of the task (SQuAD v1.1, or SST-2 as TSV or parquet), or a name of `sut assets`", _WHAT,
        implied="demo, which is embedded", not_for="ask")
    vocab: Path | None = setting(
        None, "WordPiece vocabulary", _WHAT, implied="the model's own vocab.txt")

    execution_mode: str = setting(
        "test", "test: short, never submittable; valid: the official length", _LENGTH,
        choices=one_of("test", "valid"), not_for="ask submit serve tune")
    test_query_count: int | None = setting(
        None, "queries of a test run", _LENGTH, implied="as many as fit into about 10 s", above=0,
        not_for="ask serve tune")
    steps: int | None = setting(
        None, "length of a test run in full batches per instance, in place of --test-query-count", _LENGTH,
        implied="not used", above=0, not_for="ask serve tune")
    warmup_steps: int = setting(
        1, "how often each warm-up shape is run before the first query", _LENGTH, above=0, not_for="ask")
    min_duration_s: float | None = setting(
        None, "shortest duration of the run", _LENGTH, implied=f"none in a test run, {MIN_DURATION_S} in a valid one",
        metavar="S", unit="s", least=0, not_for="ask submit serve tune")
    target_qps: float | None = setting(
        None, "LoadGen's target_qps", _LENGTH, implied="user.conf, else measured", unit="queries/s", above=0,
        not_for="ask serve tune")
    target_latency_ms: float | None = setting(
        None, f"Server: limit of the {SCENARIOS['Server'].percentile}th percentile, in a test run",
        _LENGTH, metavar="MS", unit="ms", above=0,
        implied=f"user.conf, else the benchmark's {SERVER_LATENCY_MS}", not_for="ask compare")
    find_peak: bool = setting(
        False, "Server: find the highest valid target_qps by bisection; each probe takes 10 s, or "
        "--min-duration-s", _LENGTH, not_for=f"{_SET} serve tune")
    target: str | None = setting(
        None, "exit code 1 if the result misses this. Accuracy mode: " + ", ".join(TARGETS) + " or percent; "
        "performance mode: least samples/s, or most ms in SingleStream and MultiStream", _LENGTH, metavar="WHAT",
        implied="in accuracy mode that of the demo or of the benchmark", not_for=f"{_SET} serve tune")
    kpi: str | None = setting(
        None, f"the figure that `sut kpi` marks: {', '.join(KPIS)}", _LENGTH,
        implied="that of the mode and the scenario", choices=one_of(*KPIS), not_for="ask serve tune")

    executor: str = setting(
        "processes", "processes: weights are loaded once and shared, if the backend can; spawned: each instance "
        "loads its own; inline: one instance in this process; remote: on nodes, see --node; ray: on a Ray cluster",
        _CORES, choices=one_of(*EXECUTORS), not_for="ask")
    instances: int | None = setting(
        None, "loaded models, each in a process on its own cores", _CORES, above=0, not_for="ask",
        implied="as many as the cores allow")
    cores_per_instance: int | None = setting(
        None, "cores per instance, within one NUMA node", _CORES, above=0, not_for="ask",
        implied="a whole node in SingleStream and MultiStream, about 4 in Offline and Server")
    threads: int | None = setting(
        None, "threads per instance", _CORES, implied="its cores", above=0)
    max_batch_tokens: int | None = setting(
        None, "largest batch, in computed tokens", _CORES, unit="tokens", above=0,
        implied=f"{MAX_BATCH_TOKENS}, or as the batch size needs; more on a GPU")
    batch_size: int | None = setting(
        None, "samples per batch, of similar length; --max-batch-tokens is a limit then only if it is given",
        _CORES, unit="samples", implied="as many as the tokens allow", above=0, not_for="ask")

    stall_timeout_s: float | None = setting(
        None, "fail the run when an instance neither loads nor answers a batch for this long", _CORES, metavar="S",
        unit="s", above=0, not_for="ask",
        implied="1800 for loading; then 40 times the duration of a batch at warm-up, at least 60; on nodes 20 times, at"
        " least 5, and the node counts as lost")

    node: str | None = setting(
        None, "a machine that runs `sut serve`, for --executor remote; several: type it several times", _NODES,
        implied="none", metavar="HOST:PORT", joined=True, not_for="ask serve tune")
    network_division: bool = setting(
        False, "--executor remote by the rules of MLPerf's network division: each sample is a query of its own, of "
        "token ids, and the nodes form the batches", _NODES, not_for="ask serve tune")
    token_file: Path | None = setting(
        None, "file with the token that a run and its nodes have in common", _NODES, implied="none", secret=True,
        not_for="ask tune")
    tls_cert: Path | None = setting(
        None, "this machine's certificate for mutual TLS, PEM", _NODES, implied="none", secret=True, not_for="ask tune")
    tls_key: Path | None = setting(
        None, "its key, without a password", _NODES, implied="in the file of --tls-cert", secret=True,
        not_for="ask tune")
    tls_ca: Path | None = setting(
        None, "certificates of the CA that the other side's certificate must be from, PEM", _NODES, implied="none",
        secret=True, not_for="ask tune")

    address: str | None = setting(
        None, "a Ray cluster, for --executor ray", _NODES, implied="one that is started here and ends with the run",
        metavar="HOST:PORT", not_for="ask serve tune")
    nodes: int | None = setting(
        None, "nodes of the Ray cluster to run on, the largest first", _NODES, implied="all", above=0,
        not_for="ask serve tune")
    allow_open_cluster: bool = setting(
        False, "use a Ray cluster without token authentication, which runs code for whoever reaches it", _NODES,
        not_for="ask serve tune")

    log_dir: Path | None = setting(
        None, "LoadGen's logs and run.json", FILES, implied="a new one below runs/", metavar="DIR",
        not_for=f"{_SET} sweep serve tune")
    user_conf: Path | None = setting(
        None, "LoadGen's settings by model and scenario", FILES, implied="./user.conf if it exists",
        not_for="ask serve")
    cache_dir: Path | None = setting(
        None, "features, engines and the demo data set", FILES, implied="~/.cache/mlperf-bert-sut", metavar="DIR")

    fpmath_mode: str | None = setting(
        None, "strict, or bf16: fp32 may be multiplied in bfloat16, ARM's fast math; sets DNNL_DEFAULT_FPMATH_MODE "
        "and ONNX Runtime's own", _LIBRARIES, implied="strict", choices=one_of("strict", "bf16"))
    torch_mkldnn_matmul_min_dim: int | None = setting(
        None, "PyTorch on ARM: the smallest matrix side that oneDNN multiplies; sets TORCH_MKLDNN_MATMUL_MIN_DIM",
        _LIBRARIES, implied="PyTorch's own", above=0)
    verbose: bool = setting(
        False, "log every call of oneDNN to engine-<pid>.txt in the log directory; slow; sets ONEDNN_VERBOSE and "
        "DNNL_VERBOSE", _LIBRARIES, not_for="ask serve tune")
    roi: bool = setting(
        False, "print 'Running evaluation' when the timed window begins and 'Evaluating: 100%' when it ends",
        _LIBRARIES, not_for="ask serve tune")

    engine: Path | None = setting(
        None, "directory of a built engine, from this machine or another", _ENGINE, metavar="DIR",
        not_for="compare tune",
        implied="the one that the other settings determine, from the cache, or built")
    calibration_dataset: Path | None = setting(
        None, "calibration data: a file of the task", _ENGINE,
        implied="the demo's training set; for other models the data set of the run")
    calibration_samples: int | None = setting(
        None, "number of calibration samples", _ENGINE, implied="500; random weights: 16", unit="samples", above=0)
    calibration_list: Path | None = setting(
        None, "file that lists the calibration samples, as MLPerf's do: feature indices or question ids", _ENGINE,
        implied="samples are drawn")
    calibration_seed: int = setting(
        0, "seed that draws the calibration samples", _ENGINE, metavar="S", least=0, aliases=("seed",))

    round: str | None = setting(
        None, f"use the seeds of this round of MLPerf inference: {', '.join(SEEDS)}", _SUBMISSION,
        implied="those of LoadGen's release", choices=one_of(*SEEDS), not_for="ask serve")
    audit_config: Path | None = setting(
        None, "LoadGen's audit.config, for a compliance run", _SUBMISSION, implied="none", not_for=f"{_SET} serve tune")
    # fmt: on

    # The settings that were given: a given value is repeated even if it equals the default.
    explicit: tuple[str, ...] = field(default=(), compare=False, repr=False, metadata=NOT_STORED)

    @property
    def logs(self) -> Path:
        """`log_dir` of a prepared run, which has one."""
        assert self.log_dir is not None
        return self.log_dir

    @property
    def batch_tokens(self) -> int:
        """`max_batch_tokens` of a prepared run, which has it."""
        assert self.max_batch_tokens is not None
        return self.max_batch_tokens

    @property
    def is_on_nodes(self) -> bool:
        """Whether instances are on other machines, which plan their own cores."""
        return self.executor in ON_NODES

    @property
    def is_trial(self) -> bool:
        """True when the run can never be submitted, with any verdict."""
        return self.execution_mode != "valid"


def _rows() -> dict[str, Setting]:
    hints = get_type_hints(RunConfig)
    rows = (row_of(one, hints[one.name]) for one in fields(RunConfig))
    return {row.name: row for row in rows if row is not None}


SETTINGS = _rows()


def values(config: RunConfig) -> dict[str, Any]:
    """All settings of a run by name."""
    return {name: getattr(config, name) for name in SETTINGS}
