"""How long a run is said to take still."""

from __future__ import annotations

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
    counters = QueryCounters(issued=100, completed=100)
    line = ProgressLine(PLAN, counters, total)
    assert line._left_s(elapsed_s=10.0, rate=10.0) == pytest.approx(left_s)
