"""How long a run is said to take still."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sut.queries.loadgen import Plan
from sut.queries.scheduler import QueryCounters
from sut.running.progress import ProgressLine

PLAN = Plan(
    settings=None,
    min_query_count=100,
    samples_per_query=1,
    min_duration_s=600.0,
    target_qps=None,
    target_latency_s=None,
)


@pytest.mark.parametrize(("total", "left_s"), [(None, 590.0), (1000, 90.0)])
def test_an_accuracy_run_waits_for_its_samples_and_not_for_a_duration(total: int | None, left_s: float) -> None:
    counters = QueryCounters(issued=100, completed=100, tokens=5_000)
    assert ProgressLine(PLAN, counters, total).left_s(10.0) == pytest.approx(left_s)


@pytest.mark.parametrize(
    ("counters", "left_s"),
    [
        # 10 of 100 samples took 10 s, and they were long: 40 % of all tokens.
        (QueryCounters(issued=100, planned=100, planned_tokens=10_000, completed=10, tokens=4_000), 15.0),
        (QueryCounters(issued=10, completed=10, tokens=4_000), 90.0),  # the others are not known yet: as long
        (QueryCounters(issued=100, planned=100, planned_tokens=10_000), 40.0),  # no answer yet: 2 samples/s at warm-up
    ],
    ids=["by length", "in LoadGen's order", "before the first answer"],
)
def test_the_time_left_goes_by_tokens(counters: QueryCounters, left_s: float) -> None:
    plan = replace(PLAN, min_duration_s=0.0)
    assert ProgressLine(plan, counters, None, samples_per_s=2.0).left_s(10.0) == pytest.approx(left_s)


def test_nothing_is_said_of_the_end_without_a_speed() -> None:
    assert ProgressLine(PLAN, QueryCounters(issued=100), None).left_s(10.0) is None
