"""What happened when in the timed window of a run, in a bounded number of intervals.

Counts, not rates, so that sums are exact; seconds are since the first query's issue.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class InstanceTimeline:
    """One instance: when it began and ended its work, and the share of each interval in which it computed."""

    first_batch_s: float
    last_answer_s: float
    busy: tuple[float, ...]  # per interval, 0 to 1


@dataclass(frozen=True, kw_only=True)
class LengthBin:
    """The batches with a mean sample length up to `longest` tokens, and above that of the bin before."""

    longest: int
    batches: int
    samples: int
    tokens: int
    computed_tokens: int  # with padding
    busy_s: float


@dataclass(frozen=True, kw_only=True)
class LatencyHistogram:
    """Samples by their time from issue to answer, by the scheduler's clock; bounds grow by a constant factor."""

    bounds_ms: tuple[float, ...]  # one more than counts
    counts: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """The timed window in intervals of `interval_s`."""

    interval_s: float
    issued: tuple[int, ...]  # samples per interval
    answered: tuple[int, ...]
    instances: tuple[InstanceTimeline, ...]
    lengths: tuple[LengthBin, ...]
    latency: LatencyHistogram | None = None  # None if no issue was recorded
