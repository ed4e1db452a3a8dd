"""The lines before a run, and what is printed of a figure that there is none of."""

from __future__ import annotations

from dataclasses import replace

import pytest
import records

from foundation.people_numbers import figure
from sut.queries.loadgen import Plan
from sut.queries.scheduler import QueryCounters
from sut.record.detail_log import Judged
from sut.running import terminal_report

PLAN = Plan(settings=None, min_query_count=270_336, samples_per_query=1, min_duration_s=600.0,
            target_qps=849_200.4, target_latency_s=0.13)  # fmt: skip


@pytest.mark.parametrize(
    ("scenario", "plan", "text"),
    [
        ("Server", PLAN, "at least 270,336 queries and 600 s, target_qps 849,200, limit 130 ms at the 99th percentile"),
        ("Offline", replace(PLAN, min_duration_s=0, target_qps=None, target_latency_s=None),
         "at least 270,336 samples in one query"),
    ],
)  # fmt: skip
def test_the_length_of_a_run(scenario: str, plan: Plan, text: str) -> None:
    assert terminal_report.queries(scenario, plan) == text


def test_too_few_queries_for_a_latency() -> None:
    performance = records.record().performance
    assert performance
    counters = QueryCounters()
    counters.first_issue_s, counters.last_answer_s, counters.completed = 1.0, 3.0, 6
    for value, text in ((None, "not estimated: "), (1430.2, f"{figure(1430.2)} ms, estimated 90th percentile")):
        result = replace(performance, metric="latency", unit="ms", value=value, percentile=90.0, latency_ms={})
        rows = dict(terminal_report.performance_rows("SingleStream", Judged(result, ()), counters, None))
        assert rows["latency"].startswith(text) and "none" not in rows["latency"]
