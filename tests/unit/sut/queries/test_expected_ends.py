"""A GPU's next Server batch is formed a round trip before its running one ends, and not earlier."""

from __future__ import annotations

import numpy as np
import pytest

from sut.executors.base import Job
from sut.queries.expected_ends import ROUND_TRIP_S, BatchCost, ExpectedEnds

COST = BatchCost(batch_s=0.010, token_s=0.001)  # 10 tokens: 20 ms


def job() -> Job:
    return Job(np.zeros(1, np.int64), np.zeros(1, np.int64))


def test_a_batch_counts_as_ended_a_round_trip_before_its_end() -> None:
    ends, first, second = ExpectedEnds(1, COST), job(), job()
    ends.add(first, tokens=10, now_s=1.0)
    assert ends.soon(1.0) == ends.soon(1.020 - 2 * ROUND_TRIP_S) == 0
    assert ends.soon(1.020 - ROUND_TRIP_S / 2) == ends.soon(1.5) == 1
    ends.add(second, tokens=20, now_s=1.019)  # it waits for the first, and then takes 30 ms
    assert (len(ends), ends.soon(1.021)) == (2, 1)
    ends.remove(first, now_s=1.020)
    assert (len(ends), ends.soon(1.021), ends.soon(1.049)) == (1, 0, 1)


@pytest.mark.parametrize("factor", [0.8, 1.3])
def test_a_wrong_cost_is_corrected_and_errors_do_not_add_up(factor: float) -> None:
    ends, now_s = ExpectedEnds(1, COST), 0.0
    for _ in range(60):
        one = job()
        ends.add(one, 10, now_s)
        now_s += 0.020 * factor
        is_seen = ends.soon(now_s - ROUND_TRIP_S / 2), ends.soon(now_s - 2 * ROUND_TRIP_S)
        ends.remove(one, now_s)
    assert is_seen == (1, 0)


def test_of_several_instances_any_may_end_first() -> None:
    ends, jobs = ExpectedEnds(2, COST), [job() for _ in range(4)]
    for number, one in enumerate(jobs):
        ends.add(one, 10 * number, now_s=0.0)  # two run, two wait
    for left, one in enumerate(reversed(jobs)):
        ends.remove(one, now_s=0.001)
        assert len(ends) == 3 - left


def test_without_a_cost_nothing_is_expected() -> None:
    ends = ExpectedEnds(1)
    ends.add(job(), 10, now_s=0.0)
    assert ends.soon(1e9) == 0
