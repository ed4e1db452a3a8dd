"""The result of a run, in three forms: performance, accuracy, or the peak found by a search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from accuracy.targets import Target
from foundation.typed_json import OTHERS, UNLESS_NONE

Percentile = Literal["50.00", "90.00", "95.00", "97.00", "99.00", "99.90"]  # as LoadGen writes them


@dataclass(frozen=True, kw_only=True)
class PerformanceResult:
    """One performance run as LoadGen judged it."""

    valid: bool
    metric: str
    unit: str
    value: float | None  # None if LoadGen has none, for example after too few queries
    percentile: float | None = None  # in percent, of an estimated latency; None for a throughput
    latency_ms: Mapping[Percentile, float] = field(default_factory=dict)  # per query for MultiStream
    latency_range_ms: Mapping[str, float] = field(default_factory=dict)  # min, mean and max of the same
    counted: str = ""  # what the figure counts
    target: Target | None = None  # the user's target; LoadGen's verdict does not depend on it
    target_met: bool | None = field(default=None, metadata=UNLESS_NONE)


@dataclass(frozen=True, kw_only=True)
class AccuracyResult:
    """The metrics of a task, in percent, and the number of samples that they cover."""

    metrics: Mapping[str, float] = field(metadata=OTHERS)  # under the task's names, such as exact_match and f1
    of_answered: float  # the target's metric over the answered samples
    samples_answered: int
    total_sample_count: int
    target: Target | None = None


@dataclass(frozen=True)
class Probe:
    """One short Server test of a search for the peak."""

    target_qps: float
    valid: bool
    samples_per_s: float  # by LoadGen, which does not count the time after the last query
    p99_ms: float | None  # None if there were too few queries
    reasons: tuple[str, ...]
    answered_per_s: float | None = None  # until the last answer; of an overloaded probe what the machine can do


@dataclass(frozen=True, kw_only=True)
class PeakResult:
    """The highest target_qps that was valid, and every probe."""

    metric: str = "peak target_qps"
    unit: str = "queries/s"
    value: float | None  # None if no probe was valid
    probes: tuple[Probe, ...]


Result = PerformanceResult | AccuracyResult | PeakResult
