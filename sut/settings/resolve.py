"""What a run is to do: one frozen `RunConfig`, resolved from defaults < preset < TOML < flags, and checked before
anything runs.

Nothing here opens a model, starts a process or writes a file. A flag that was not given is absent, not a default, so
that it overrides a TOML file only on purpose.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_type_hints

from foundation.rules import MAX_POSITIONS, MIN_DURATION_S, SCENARIOS, SEEDS
from sut.errors import UsageError
from sut.settings import presets
from sut.tasks import TASKS

MODES = ("performance", "accuracy")
EXECUTION_MODES = ("test", "valid")
FPMATH_MODES = ("strict", "bf16")
KPIS = ("throughput", "latency", "accuracy")
EXECUTORS = ("processes", "spawned", "inline")
DEMO = "demo"


@dataclass(frozen=True)
class RunConfig:
    """One run. Paths and names as the user gave them; None is "work it out" where the comment says how."""

    preset: str | None = None  # of sut/settings/presets.py: what the fields below start from
    scenario: str = "Offline"
    mode: str = "performance"
    backend: str = "onnxruntime"
    model: str = DEMO
    precision: str = "fp32"
    task: str = "squad"
    dataset: Path | None = None  # the embedded data set, which "demo" means too
    vocab: Path | None = None  # the model's own vocab.txt
    execution_mode: str = "test"
    test_query_count: int | None = None  # as many as fit into about ten seconds
    steps: int | None = None  # so many full batches of every instance, instead of test_query_count
    target_qps: float | None = None  # user.conf, else from the speed measured at warm-up
    min_duration_s: float | None = None  # test: none; valid: the official one
    target_latency_ms: float | None = None  # Server: user.conf, else the benchmark's
    find_peak: bool = False  # Server: probe for the highest target_qps that is valid
    round: str | None = None  # whose seeds LoadGen draws with; those of its own release
    audit_config: Path | None = None  # LoadGen's audit.config, for a compliance run; never one that lies about
    log_dir: Path | None = None  # runs/<time>-<scenario>-<mode>-<backend>
    user_conf: Path | None = None  # ./user.conf where there is one
    target: str | None = (
        None  # accuracy: out of accuracy.targets, or percent; performance: samples/s, or ms for a stream
    )
    executor: str = "processes"
    instances: int | None = None  # one for a stream, else as many as the cores hold
    cores_per_instance: int | None = None  # the scenario's, see sut/machine/topology.py
    threads: int | None = None  # cores per instance
    max_batch_tokens: int = 1536  # with a batch_size: whatever so many samples take; on a GPU what keeps it busy
    batch_size: int | None = None  # as many samples as the tokens allow
    warmup_steps: int = 1  # how often each warm-up shape is run
    engine: Path | None = None  # built for this model: found in the cache by its key, or built
    cache_dir: Path | None = None  # ~/.cache/mlperf-bert-sut
    fpmath_mode: str | None = None  # oneDNN's own, which is strict
    torch_mkldnn_matmul_min_dim: int | None = None  # PyTorch's own
    verbose: bool = False  # oneDNN's log of every call, into log_dir
    roi: bool = False  # lines for a trace tool where the timed window begins and ends
    kpi: str | None = None  # which figure `kpi` marks: the mode's and the scenario's
    calibration_dataset: Path | None = None  # the demo's training set; for other models the data set that is run
    calibration_list: Path | None = None  # drawn at random; else MLPerf's, feature indices or question ids
    calibration_samples: int | None = None  # 500, as MLPerf's calibration lists have; random weights: 16
    calibration_seed: int = 0  # which samples

    @property
    def logs(self) -> Path:
        """`log_dir` of a prepared run, where it is set."""
        assert self.log_dir is not None
        return self.log_dir

    @property
    def is_trial(self) -> bool:
        """True when the run can never be submitted, whatever its verdict."""
        return self.execution_mode != "valid"


def resolve(flags: Mapping[str, Any], toml: Path | None = None) -> RunConfig:
    """The configuration of a run.

    Args:
        flags: only what was given on the command line, under the names of RunConfig's fields.
        toml: a file of the same names, or None.

    Raises:
        UsageError: an unknown key, a word that is not one of the choices, a number out of range.
    """
    asked = {**(_read_toml(toml) if toml else {}), **flags}
    values = {**_preset(asked), **asked}
    for field, choices in _CHOICES.items():
        if field in values:
            values[field] = choose(field, str(values[field]), choices)
    config = replace(RunConfig(), **_typed(values))
    if "max_batch_tokens" not in values:
        config = replace(config, max_batch_tokens=_tokens(config.batch_size))
    _check(config)
    return config


def _preset(given: Mapping[str, Any]) -> dict[str, Any]:
    """What the preset sets; its calibration data go with its own data set, not with another that was named."""
    values = presets.settings(str(given["preset"])) if "preset" in given else {}
    if "dataset" in given:
        values.pop("calibration_dataset", None)
    return values


_CHOICES: dict[str, tuple[str, ...]] = {
    "task": tuple(TASKS),
    "scenario": tuple(SCENARIOS),
    "mode": MODES,
    "execution_mode": EXECUTION_MODES,
    "executor": EXECUTORS,
    "fpmath_mode": FPMATH_MODES,
    "kpi": KPIS,
    "round": tuple(SEEDS),
}
_PATHS = (
    "dataset",
    "vocab",
    "log_dir",
    "user_conf",
    "cache_dir",
    "calibration_dataset",
    "calibration_list",
    "audit_config",
    "engine",
)
_MOST = 1e9  # far beyond any machine, and still a number that LoadGen can hold
_POSITIVE = (
    "test_query_count",
    "target_qps",
    "target_latency_ms",
    "instances",
    "cores_per_instance",
    "threads",
    "max_batch_tokens",
    "batch_size",
    "steps",
    "warmup_steps",
    "calibration_samples",
    "torch_mkldnn_matmul_min_dim",
)


def choose(field: str, value: str, choices: Iterable[str]) -> str:
    """`value` as it is spelt among `choices`, whatever its case; UsageError with the nearest right word otherwise."""
    by_lower = {choice.lower(): choice for choice in choices}
    if value.lower() in by_lower:
        return by_lower[value.lower()]
    near = difflib.get_close_matches(value.lower(), by_lower, n=1)
    hint = f" Did you mean {by_lower[near[0]]}?" if near else ""
    raise UsageError(f"expected {flag(field)} out of {', '.join(by_lower.values())}, found {value!r}.{hint}")


def _tokens(batch_size: int | None) -> int:
    """max_batch_tokens where it is not given."""
    return batch_size * MAX_POSITIONS if batch_size else RunConfig.max_batch_tokens


def flag(field: str) -> str:
    """A field's name on the command line."""
    return "--" + field.replace("_", "-")


def given(config: RunConfig) -> dict[str, Any]:
    """What `config` says beside the defaults, as `resolve` takes it again and JSON can hold it.

    The preset is spelt out: its name would bring back what a flag had overridden.
    """
    implied = {field.name: field.default for field in fields(RunConfig)}
    implied |= {"preset": config.preset, "max_batch_tokens": _tokens(config.batch_size)}
    said = {name: getattr(config, name) for name in implied if getattr(config, name) != implied[name]}
    return {name: str(value) if isinstance(value, Path) else value for name, value in said.items()}


def to_flags(config: RunConfig) -> list[str]:
    """The command line that `config` is resolved from: every field that is not what it would be without a flag."""
    words: list[str] = []
    for name, value in given(config).items():
        words += [flag(name)] if value is True else [flag(name), str(value)]
    return words


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"expected settings as TOML in {path}, found: {error}.") from error
    known = [field.name for field in fields(RunConfig)]
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f" Did you mean {near[0]}?" if near else f" Known: {', '.join(known)}."
            raise UsageError(f"found an unknown setting {key!r} in {path}.{hint}")
    return values


def _typed(values: Mapping[str, Any]) -> dict[str, Any]:
    hints = get_type_hints(RunConfig)
    for key, value in values.items():
        if not _is_a(value, hints[key]):
            raise UsageError(f"expected {flag(key)} of another type than {type(value).__name__}, found {value!r}.")
    typed = {key: Path(value) if key in _PATHS else value for key, value in values.items()}
    return typed | ({"dataset": None} if typed.get("dataset") == Path(DEMO) else {})


def _is_a(value: Any, hint: Any) -> bool:
    """TOML has no paths, and writes a whole number without a point."""
    also = {Path | None: str, float | None: int}.get(hint, hint)
    return isinstance(value, hint | also) and isinstance(value, bool) == (hint is bool)


def _check(config: RunConfig) -> None:
    for field in _POSITIVE:
        value = getattr(config, field)
        if value is not None and not 0 < value <= _MOST:
            raise UsageError(f"expected {flag(field)} above 0 and up to {_MOST:g}, found {value}.")
    duration_s = MIN_DURATION_S if config.min_duration_s is None else config.min_duration_s
    if not 0 <= duration_s <= _MOST:
        raise UsageError(f"expected --min-duration-s from 0 to {_MOST:g}, found {config.min_duration_s}.")
    if not 0 <= config.calibration_seed <= _MOST:
        raise UsageError(f"expected --calibration-seed from 0 to {_MOST:g}, found {config.calibration_seed}.")
    if config.calibration_list and (config.calibration_samples or config.calibration_seed):
        raise UsageError(
            "--calibration-list says which samples; --calibration-samples and --calibration-seed draw them."
        )
    if config.execution_mode == "valid" and (config.test_query_count or duration_s < MIN_DURATION_S):
        raise UsageError(
            f"--execution-mode valid runs the official counts for at least {MIN_DURATION_S} s; "
            "--test-query-count and a shorter --min-duration-s go with --execution-mode test."
        )
    _check_server(config)
    _check_window(config)
    if config.audit_config and (config.mode != "performance" or config.find_peak):
        raise UsageError("--audit-config goes with --mode performance, and without --find-peak.")
    if config.executor == "inline" and config.instances not in (None, 1):
        raise UsageError(f"--executor inline holds one instance, found --instances {config.instances}.")


def _check_server(config: RunConfig) -> None:
    if config.target_latency_ms and (config.scenario != "Server" or not config.is_trial):
        raise UsageError(
            "--target-latency-ms goes with --scenario Server in a trial; a valid run keeps the official one."
        )
    if config.find_peak and (config.scenario, config.mode, config.execution_mode) != ("Server", "performance", "test"):
        raise UsageError("--find-peak goes with --scenario Server, --mode performance and --execution-mode test.")
    if config.find_peak and config.target:
        raise UsageError("--find-peak looks for the best there is; --target goes with a run at one --target-qps.")


def _check_window(config: RunConfig) -> None:
    other = config.test_query_count or config.min_duration_s or config.find_peak
    if config.steps and (other or config.mode != "performance" or not config.is_trial):
        raise UsageError(
            "--steps says how long a test run with --mode performance takes; it goes without --execution-mode valid, "
            "--test-query-count, --min-duration-s and --find-peak."
        )
    if config.roi and (config.mode != "performance" or config.find_peak):
        raise UsageError("--roi marks the one timed window of --mode performance; it goes without --find-peak.")
    if (config.kpi == "accuracy") != (config.mode == "accuracy") and config.kpi:
        raise UsageError(f"--kpi {config.kpi} goes with another --mode than {config.mode}.")
    if config.verbose and config.executor == "inline":
        raise UsageError("--verbose goes with --executor processes or spawned, whose output can be put aside.")


def default_log_dir(config: RunConfig, now: datetime | None = None) -> Path:
    """runs/<UTC time>-<scenario>-<mode>-<backend>, below the current directory."""
    stamp = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%S.%f")[:-3]
    return Path("runs") / f"{stamp}-{config.scenario}-{config.mode}-{config.backend}"
