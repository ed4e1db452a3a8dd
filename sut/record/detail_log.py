"""What LoadGen found, read from its detail log: verdict, reasons, speed, percentiles.

The detail log, not the summary, because it is made to be read by programs: one JSON object a line behind a marker.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from foundation.rules import SCENARIOS
from sut.errors import RunFailedError
from sut.record.results import Percentile, PerformanceResult

DETAIL, ACCURACY = "mlperf_log_detail.txt", "mlperf_log_accuracy.json"
_MARKER = ":::MLLOG "
_LAST_KEY = "power_end"  # LoadGen writes it in every mode once a test has ended
_PERCENTILES: tuple[Percentile, ...] = get_args(Percentile)
# What a figure of this unit is: it stands beside every one.
COUNTED = {
    "samples/s": "samples answered, over the time from the first query's issue to the last answer, by LoadGen's clock; "
    "rows of padding never count, and tokenisation was done before",
    "ms": "from a query's issue to its last answer, by LoadGen's clock; tokenisation was done before",
}
# A requirement that was not met, and what to do about it.
_REQUIREMENTS = {
    "result_min_duration_met": "it ended before min_duration: raise --target-qps (SingleStream, MultiStream: "
    "lower target_latency in user.conf), or leave it out to have it measured",
    "result_min_queries_met": "fewer queries than min_query_count were issued: LoadGen ran out of those it made ahead; "
    "lower target_latency in user.conf, or leave it out to have it measured",
    "result_perf_constraints_met": "latency was above the target at its percentile: lower --target-qps",
    "early_stopping_met": "too few queries for a sure percentile: more with --test-query-count or --min-duration-s",
}


@dataclass(frozen=True)
class Judged:
    """LoadGen's verdict on a performance run, and why it is not valid."""

    result: PerformanceResult
    reasons: tuple[str, ...]


def read_detail(log_dir: Path) -> dict[str, Any]:
    """Every key of the detail log and its last value; `num_errors` is counted here, from the lines marked as errors.

    Raises:
        RunFailedError: the log is missing or cut short, as when a disk fills.
    """
    path = log_dir / DETAIL
    found: dict[str, Any] = {}
    try:
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith(_MARKER):
                entry = json.loads(line.removeprefix(_MARKER))
                found[entry["key"]] = entry["value"]
                found["num_errors"] = found.get("num_errors", 0) + bool(entry["metadata"]["is_error"])
    except (OSError, ValueError, KeyError) as error:
        raise RunFailedError(
            f"expected LoadGen's whole log in {path}, found it broken ({error}). {_disk(log_dir)}"
        ) from error
    if _LAST_KEY not in found:
        raise RunFailedError(f"expected LoadGen's whole log in {path}, found it cut short. {_disk(log_dir)}")
    return found


def _disk(log_dir: Path) -> str:
    return f"Is the disk of {log_dir} full? Name another place with --log-dir."


def performance(log_dir: Path, scenario: str, queries: int) -> Judged:
    """The result of a performance run of so many queries. Raises RunFailedError when the log is not whole."""
    detail = read_detail(log_dir)
    rules = SCENARIOS[scenario]
    value = detail.get(rules.result_key) or None
    if "result_validity" not in detail:
        raise RunFailedError(f"expected a verdict in {log_dir / DETAIL}, found none. {_disk(log_dir)}")
    errors = logged_errors(log_dir, detail)
    per_query = "per_query_" if scenario == "MultiStream" else ""
    result = PerformanceResult(
        valid=detail["result_validity"] == "VALID" and not errors,
        metric=rules.metric,
        unit=rules.unit,
        value=None if value is None else value / rules.divisor,
        percentile=100 * detail["effective_target_latency_percentile"] if rules.unit == "ms" else None,
        latency_ms={
            percentile: detail[name] / 1e6
            for percentile in _PERCENTILES
            if (name := f"result_{percentile}_percentile_{per_query}latency_ns") in detail
            and queries * (100 - float(percentile)) >= 100  # with fewer, the percentile is just the slowest query
        },
        latency_range_ms={
            which: detail[name] / 1e6
            for which in ("min", "mean", "max")
            if (name := f"result_{which}_{per_query.removeprefix('per_')}latency_ns") in detail
        },
        counted=COUNTED[rules.unit],
    )
    missed = (advice for requirement, advice in _REQUIREMENTS.items() if detail.get(requirement) is False)
    return Judged(result, (*missed, *errors))


def logged_errors(log_dir: Path, detail: Mapping[str, Any]) -> list[str]:
    """What to say of the errors that LoadGen logged, in any mode: a checker refuses a log that has one."""
    count = detail["num_errors"]
    return [f"LoadGen logged {count} errors: see {log_dir / DETAIL}"] if count else []
