"""The timeline of a run, from the times of its batches: throughput, queue, busy instances, lengths, latencies.

Computed once, after the test. Its size does not depend on the number of batches: at most 120 intervals, fewer with few
batches and with hundreds of instances.
"""

from __future__ import annotations

import numpy as np

from foundation.arrays import Bool, Float64, Int64
from sut.queries.batch_times import BatchColumns
from sut.record.timeline import InstanceTimeline, LatencyHistogram, LengthBin, Timeline

_INTERVALS = 120
_LEAST_INTERVALS, _BATCHES = 12, 4  # batches in an interval, or one of each instance: a rate, not single ends
_MOST_SHARES = 12_000  # of all instances together
_LENGTHS = 12
_LATENCIES = 100
_ROUNDING = 1e-6  # of a histogram's outermost bounds


def of(columns: BatchColumns, instances: int, first_issue_s: float, window_s: float) -> Timeline | None:
    """The timeline of the window of `window_s` seconds that began at `first_issue_s`; None without a batch."""
    if not len(columns.samples) or window_s <= 0:
        return None
    ended_s = columns.answered_s - first_issue_s
    intervals = max(_LEAST_INTERVALS, min(_INTERVALS, len(columns.samples) // max(_BATCHES, instances)))
    intervals = max(1, min(intervals, _MOST_SHARES // instances))
    bounds = np.linspace(0.0, window_s, intervals + 1)
    each_s = np.repeat(ended_s, columns.samples)
    known = len(columns.latency_s) == len(each_s)
    issued_s = each_s - columns.latency_s if known else np.zeros_like(each_s)
    return Timeline(
        interval_s=window_s / intervals,
        issued=_counts(issued_s, bounds),
        answered=_counts(each_s, bounds),
        instances=tuple(_instance(columns, ended_s, bounds, number) for number in range(instances)),
        lengths=_lengths(columns),
        latency=_latencies(1e3 * columns.latency_s) if known else None,
    )


def _counts(times_s: Float64, bounds: Float64) -> tuple[int, ...]:
    """Events per interval; one at a bound of the window is in it, whatever its last digit."""
    inside = np.clip(times_s, bounds[0], bounds[-1])
    return tuple(np.histogram(inside, bounds)[0].tolist())


def _instance(columns: BatchColumns, ended_s: Float64, bounds: Float64, number: int) -> InstanceTimeline:
    chosen = columns.instance == number
    if not chosen.any():
        return InstanceTimeline(
            first_batch_s=float(bounds[-1]), last_answer_s=0.0, busy=tuple([0.0] * (len(bounds) - 1))
        )
    ends = ended_s[chosen]
    begins = np.maximum(ends - columns.batch_s[chosen], 0.0)
    spent = np.diff(_elapsed(begins, bounds) - _elapsed(ends, bounds)) / np.diff(bounds)
    return InstanceTimeline(
        first_batch_s=round(float(begins.min()), 6),
        last_answer_s=round(float(ends.max()), 6),
        busy=tuple(np.clip(spent, 0.0, 1.0).round(3).tolist()),  # batches may overlap on a GPU
    )


def _elapsed(moments: Float64, until: Float64) -> Float64:
    """The sum over moments of the seconds from each to `until`, of those that lie before it."""
    ordered = np.sort(moments)
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    before = np.searchsorted(ordered, until)
    return np.asarray(before * until - sums[before], np.float64)


def _lengths(columns: BatchColumns) -> tuple[LengthBin, ...]:
    mean = np.ceil(columns.tokens / columns.samples).astype(np.int64)
    width = 1 << (-(-int(mean.max()) // _LENGTHS) - 1).bit_length()  # so that runs have the same bins
    bins = (mean - 1) // width

    def one(number: int) -> LengthBin:
        chosen = bins == number
        return LengthBin(
            longest=(number + 1) * width,
            batches=int(chosen.sum()),
            samples=_sum(columns.samples, chosen),
            tokens=_sum(columns.tokens, chosen),
            computed_tokens=_sum(columns.computed_tokens, chosen),
            busy_s=round(float(columns.batch_s[chosen].sum()), 6),
        )

    return tuple(one(number) for number in np.unique(bins).tolist())


def _sum(values: Int64, chosen: Bool) -> int:
    return int(values[chosen].sum())


def _latencies(latency_ms: Float64) -> LatencyHistogram:
    least = max(float(latency_ms.min()), 1e-3)
    most = max(float(latency_ms.max()), least)
    bounds = np.geomspace(least * (1 - _ROUNDING), most * (1 + _ROUNDING), _LATENCIES + 1)
    counts = np.histogram(np.clip(latency_ms, bounds[0], bounds[-1]), bounds)[0]
    return LatencyHistogram(bounds_ms=tuple(bounds.tolist()), counts=tuple(counts.tolist()))
