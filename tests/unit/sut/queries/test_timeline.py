"""A run's timeline: counts add up to all samples, busy shares to the batches' seconds, and its size is bounded."""

from __future__ import annotations

import numpy as np
import pytest

from sut.queries import timeline
from sut.queries.batch_times import BatchTimes

_FIRST_S = 36_000.0


def recorded(*, batches: int = 400, instances: int = 2) -> BatchTimes:
    """Batches of 1 to 4 samples, one after the other on each instance, 10 ms each; issued 25 ms before the answer."""
    times = BatchTimes()
    for number in range(batches):
        samples, answered_s = 1 + number % 4, _FIRST_S + 0.01 * (number // instances + 1)
        times.add(
            number % instances,
            samples,
            0.01,
            0.009,
            tokens=samples * (10 + number % 90),
            computed_tokens=samples * 100,
            answered_s=answered_s,
            issued_s=np.full(samples, max(_FIRST_S, answered_s - 0.025)),
        )
    return times


def test_counts_add_up_to_all_samples_and_busy_shares_to_all_seconds() -> None:
    columns = recorded().columns()
    found = timeline.of(columns, 2, _FIRST_S, window_s=2.0)
    assert found is not None and found.latency is not None
    assert found.interval_s * len(found.answered) == pytest.approx(2.0)
    assert sum(found.issued) == sum(found.answered) == sum(found.latency.counts) == 1000
    for one in found.instances:
        assert sum(one.busy) * found.interval_s == pytest.approx(2.0, abs=0.01)
        assert (one.first_batch_s, one.last_answer_s) == pytest.approx((0.0, 2.0), abs=1e-6)
    assert sum(one.samples for one in found.lengths) == 1000
    assert sum(one.batches for one in found.lengths) == 400
    assert sum(one.tokens for one in found.lengths) == columns.tokens.sum()
    assert sum(one.computed_tokens for one in found.lengths) == 100_000
    assert [one.longest for one in found.lengths] == sorted({one.longest for one in found.lengths})


def test_the_queue_is_what_was_issued_and_not_answered_yet() -> None:
    found = timeline.of(recorded().columns(), 2, _FIRST_S, window_s=2.0)
    assert found is not None
    waiting = np.cumsum(found.issued) - np.cumsum(found.answered)
    assert (waiting >= 0).all() and waiting[-1] == 0
    assert waiting[:-2].min() >= 4  # 25 ms of two batches each 10 ms, in intervals of 20 ms


def test_latencies_lie_between_the_bounds() -> None:
    found = timeline.of(recorded().columns(), 2, _FIRST_S, window_s=2.0)
    assert found is not None and found.latency is not None
    bounds = found.latency.bounds_ms
    assert bounds[0] <= 10 <= bounds[1] and bounds[-2] <= 25 <= bounds[-1] * (1 + 1e-5)
    assert found.latency.counts[-1] > 900 and len(bounds) == len(found.latency.counts) + 1


@pytest.mark.parametrize(("instances", "intervals"), [(1, 120), (8, 75), (100, 12), (2_000, 6), (20_000, 1)])
def test_its_size_is_bounded(instances: int, intervals: int) -> None:
    found = timeline.of(recorded(batches=600, instances=1).columns(), instances, _FIRST_S, window_s=6.0)
    assert found is not None
    assert len(found.answered) == len(found.instances[-1].busy) == intervals
    assert sum(found.instances[-1].busy) == pytest.approx(intervals if instances == 1 else 0)


def test_a_short_run_has_fewer_intervals_and_lengths_are_in_bins_that_other_runs_have() -> None:
    found = timeline.of(recorded(batches=60).columns(), 2, _FIRST_S, window_s=0.3)
    assert found is not None and len(found.answered) == 15
    assert {one.longest % 8 for one in found.lengths} == {0} and len(found.lengths) <= 12


def test_an_idle_instance_is_idle_for_the_whole_window() -> None:
    found = timeline.of(recorded().columns(), 3, _FIRST_S, window_s=2.0)
    assert found is not None
    assert (found.instances[2].first_batch_s, found.instances[2].last_answer_s) == (2.0, 0.0)


def test_without_a_batch_or_without_issues_there_is_less() -> None:
    assert timeline.of(BatchTimes().columns(), 2, 0.0, window_s=1.0) is None
    times = BatchTimes()
    times.add(0, 2, 0.5, 0.4, tokens=6, computed_tokens=6, answered_s=1.0)
    found = timeline.of(times.columns(), 1, 0.0, window_s=1.0)
    assert found is not None and found.latency is None and found.issued[0] == 2
