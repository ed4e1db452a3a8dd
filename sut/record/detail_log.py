"""Reads LoadGen's detail log: verdict, reasons, speed, percentiles.

The detail log, not the summary, because it is meant for programs: one JSON object per line after a marker.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from foundation.bounded_readers import parse_json, read_bytes
from foundation.log_files import DETAIL
from foundation.rules import SCENARIOS
from sut.errors import RunFailedError
from sut.record.results import Percentile, PerformanceResult

_MARKER = ":::MLLOG "
_NOT_FINITE = re.compile(r'(?<="value": )(-?)(nan|inf)(?=[,}])')  # as C++ prints them, which is not JSON
_LAST_KEY = "power_end"  # LoadGen writes it in every mode once a test has ended
_PERCENTILES: tuple[Percentile, ...] = get_args(Percentile)
_FULL = "If the disk is full, type another --log-dir."
# What a figure of this unit counts; shown with every figure.
COUNTED = {
    "samples/s": "real samples, from first issue to last answer, tokenised before",
    "ms": "from a query's issue to its last answer, tokenised before",
}
# LoadGen's key of a requirement that was not met → what to do.
_REQUIREMENTS = {
    "result_min_duration_met": "it ended before min_duration: raise --target-qps (SingleStream, MultiStream: "
    "lower target_latency in user.conf), or remove it to have it measured",
    "result_min_queries_met": "fewer queries than min_query_count were issued: LoadGen ran out of generated ones; "
    "lower target_latency in user.conf, or remove it to have it measured",
    "result_perf_constraints_met": "latency was above the target at its percentile: lower --target-qps",
    "early_stopping_met": "too few queries to bound the percentile: raise --test-query-count or --min-duration-s",
}


@dataclass(frozen=True)
class Judged:
    """LoadGen's verdict on a performance run, and the reasons if it is invalid."""

    result: PerformanceResult
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class DetailLog:
    """Every key of the log with its last value."""

    path: Path
    values: Mapping[str, object]
    errors: int  # lines that LoadGen marked as errors

    def number(self, key: str) -> float | None:
        """The value as a finite number; None without one."""
        value = self.values.get(key)
        if not isinstance(value, int | float) or isinstance(value, bool):
            return None
        return float(value) if abs(value) <= sys.float_info.max else None

    def is_missed(self, requirement: str) -> bool:
        """Whether LoadGen reports that a requirement was not met."""
        return self.values.get(requirement) is False

    def logged_errors(self) -> list[str]:
        """A line on the errors that LoadGen logged, in any mode: a checker refuses a log with errors."""
        return [f"LoadGen logged {self.errors} errors: see {self.path}"] if self.errors else []


def read(log_dir: Path) -> DetailLog:
    """The detail log of a run that has just ended.

    Raises:
        RunFailedError: the log is missing or truncated, for example because a disk is full.
    """
    path = log_dir / DETAIL
    values: dict[str, object] = {}
    errors = 0
    try:
        for line in read_bytes(path).decode(errors="replace").splitlines():
            if line.startswith(_MARKER):
                entry = parse_json(_NOT_FINITE.sub(_as_json, line.removeprefix(_MARKER)))
                values[entry["key"]] = entry["value"]
                errors += bool(entry["metadata"]["is_error"])
    except (ValueError, KeyError, TypeError) as error:
        raise RunFailedError(
            f"expected LoadGen's complete log in {path}, found it broken ({error}). {_FULL}"
        ) from error
    if _LAST_KEY not in values:
        raise RunFailedError(f"expected LoadGen's complete log in {path}, found it truncated. {_FULL}")
    return DetailLog(path, values, errors)


def _as_json(found: re.Match[str]) -> str:
    return "NaN" if found[2] == "nan" else f"{found[1]}Infinity"


def performance(log_dir: Path, scenario: str, queries: int, invalid: Sequence[str] = ()) -> Judged:
    """The result of a performance run.

    Args:
        queries: their number, which decides which percentiles are shown.
        invalid: reasons that LoadGen does not know why the result is invalid.

    Raises:
        RunFailedError: the log is incomplete.
    """
    log, rules = read(log_dir), SCENARIOS[scenario]
    if "result_validity" not in log.values:
        raise RunFailedError(f"expected a verdict in {log.path}, found none. {_FULL}")
    others = [*invalid, *log.logged_errors()]
    value = log.number(rules.result_key) or None
    percentile = log.number("effective_target_latency_percentile") if rules.unit == "ms" else None
    result = PerformanceResult(
        valid=log.values["result_validity"] == "VALID" and value is not None and not others,
        metric=rules.metric,
        unit=rules.unit,
        value=None if value is None else value / rules.divisor,
        percentile=None if percentile is None else 100 * percentile,
        latency_ms=_percentiles_ms(log, scenario, queries),
        latency_range_ms=_range_ms(log, scenario),
        counted=COUNTED[rules.unit],
    )
    reasons = [advice for requirement, advice in _REQUIREMENTS.items() if log.is_missed(requirement)] + others
    if value is None and not reasons:
        reasons = [f"LoadGen has no {rules.metric}: too few queries, or settings out of range"]
    return Judged(result, tuple(reasons))


def _percentiles_ms(log: DetailLog, scenario: str, queries: int) -> dict[Percentile, float]:
    """The percentiles that `queries` queries suffice for: with fewer, a percentile is just the slowest query."""
    per_query = "per_query_" if scenario == "MultiStream" else ""
    found = {one: log.number(f"result_{one}_percentile_{per_query}latency_ns") for one in _PERCENTILES}
    return {one: ns / 1e6 for one, ns in found.items() if ns is not None and queries * (100 - float(one)) >= 100}


def _range_ms(log: DetailLog, scenario: str) -> dict[str, float]:
    query = "query_" if scenario == "MultiStream" else ""
    found = {which: log.number(f"result_{which}_{query}latency_ns") for which in ("min", "mean", "max")}
    return {which: ns / 1e6 for which, ns in found.items() if ns is not None}
