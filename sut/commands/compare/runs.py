"""The runs of one row: accuracy, SingleStream and Offline, each `python -m sut` in a separate process.

A row is read only from their run.json and LoadGen's logs, so every figure can be checked and reproduced.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from accuracy.targets import METRICS
from foundation.step_times import StepTimes
from sut.errors import FAILED, INVALID, VALID, RunFailedError, SutError
from sut.fetch import resolve as asset_paths
from sut.processes import run_process
from sut.record import run_record
from sut.record.run_record import RunRecord
from sut.settings.resolve import to_flags
from sut.settings.settings import RunConfig
from sut.tasks import TASKS

# The runs of a row: scenario and mode.
_KINDS = {
    "accuracy": ("Offline", "accuracy"),
    "latency": ("SingleStream", "performance"),
    "throughput": ("Offline", "performance"),
}
SPEED = ("latency", "throughput")  # those without a score

ABOUT = f"{len(_KINDS)} runs, of some 10 s each after its loading; the accuracy run takes each sample once"


@dataclass(frozen=True, kw_only=True)
class ComparisonRow:
    """The figures of one configuration. Latency: SingleStream's mean; `engine_…`: inside the backend only."""

    what: str  # backend and precision
    metric: str
    accuracy: float  # percent, over the samples that were answered
    samples_answered: int
    latency_ms: float
    samples_per_s: float
    engine_latency_ms: float
    engine_samples_per_s: float
    evaluation_s: float  # duration of the accuracy run's process
    instances: int
    cores_per_instance: int
    notices: tuple[str, ...]
    warnings: tuple[str, ...]  # of its runs: why figures may be too low
    invalid: tuple[str, ...]  # the reasons of the invalid runs


class RowStoppedError(SutError):
    """One of the runs ended with an error; `exit_code` is the run's."""

    def __init__(self, what: str, code: int, console: Path) -> None:
        errors = [line for line in console.read_text("utf-8", "replace").splitlines() if line.startswith("error: ")]
        found = errors[-1].removeprefix("error: ") if errors else f"it ended with {code}."
        super().__init__(f"the {what} run stopped: {found} Its output is in {console}.")
        self.exit_code = code if code > 0 else FAILED


def planned(config: RunConfig, accuracy_samples: int | None) -> dict[str, RunConfig]:
    """The runs of a row, by kind.

    A region of interest is one of a timed window. A length in steps is the throughput's: ten batches are too few
    queries for a percentile of latency.
    """
    runs = {kind: replace(config, scenario=scenario, mode=mode) for kind, (scenario, mode) in _KINDS.items()}
    scored = replace(runs["accuracy"], steps=None, roi=False, test_query_count=accuracy_samples)
    return {**runs, "accuracy": scored, "latency": replace(runs["latency"], steps=None)}


def measure(config: RunConfig, folder: Path, accuracy_samples: int | None, lock: int) -> ComparisonRow:
    """Make all runs, with logs below `folder`; each inherits `lock`, see `sut.processes.directory_lock`.

    Raises:
        RowStoppedError, RunFailedError: a run ended with an error.
    """
    started_s = time.perf_counter()
    of_kind = planned(config, accuracy_samples)
    accuracy = run("accuracy", of_kind["accuracy"], folder, lock)
    evaluation_s = time.perf_counter() - started_s
    latency, throughput = (run(kind, of_kind[kind], folder, lock) for kind in SPEED)
    scored, streamed, measured = accuracy.accuracy, latency.performance, throughput.performance
    assert scored and streamed and measured and latency.batches
    metric = TASKS[config.task].metric
    return ComparisonRow(
        what=f"{config.backend} {throughput.effective_precision}",
        metric=METRICS.get(metric, metric),
        accuracy=scored.of_answered,
        samples_answered=scored.samples_answered,
        latency_ms=streamed.latency_range_ms["mean"],
        samples_per_s=measured.value or 0.0,
        engine_latency_ms=latency.batches.engine_latency_ms["mean"],
        engine_samples_per_s=_engine_samples_per_s(throughput),
        evaluation_s=evaluation_s,
        instances=throughput.config.instances or 1,
        cores_per_instance=throughput.config.cores_per_instance or 1,
        notices=tuple(dict.fromkeys(word for one in (accuracy, latency, throughput) for word in one.notices)),
        warnings=tuple(
            f"{name}: {text}"
            for name, one in zip(_KINDS, (accuracy, latency, throughput), strict=True)
            for text in one.warnings or ()
        ),
        invalid=(*invalid("latency", latency), *invalid("throughput", throughput)),
    )


def _engine_samples_per_s(record: RunRecord) -> float:
    """The speed of all instances if they were always inside the engine."""
    batches = record.batches
    assert batches is not None
    return batches.samples * len(batches.instances) / batches.engine_s


def invalid(kind: str, record: RunRecord) -> tuple[str, ...]:
    """Why a run is not valid; empty if it is."""
    if record.verdict == "VALID":
        return ()
    return tuple(f"{kind}: {why}" for why in record.reasons or [record.verdict])


def run(kind: str, config: RunConfig, folder: Path, lock: int, kinds: Sequence[str] = tuple(_KINDS)) -> RunRecord:
    """The record of one run.

    Args:
        kinds: those that are made, in their order, to say how many are left.

    Raises:
        RowStoppedError, RunFailedError: it ended with an error.
    """
    one = replace(config, log_dir=folder / kind)
    console = folder / f"{kind}.txt"
    number = kinds.index(kind) + 1
    try:
        folder.mkdir(parents=True, exist_ok=True)
        step = ("run", *to_flags(replace(one, log_dir=None)))
        with StepTimes(asset_paths.cache_dir(one)).doing(
            f"  [{number}/{len(kinds)}] {kind}: {one.scenario} {one.mode}", *step
        ):
            code = run_process.run(["run", *to_flags(one)], lock, console)
    except OSError as error:
        raise RunFailedError(f"expected to write to {folder}, found: {error}. Type another --output-dir.") from error
    record = run_record.read(one.logs) if code in (VALID, INVALID) else None
    if record is None or not record.has_ended:
        raise RowStoppedError(f"{folder.name} {kind}", code, console)
    return record
