"""Latencies over all samples, compared with numpy's on every sample; and the work of each instance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sut.queries.batch_times import PERCENTILES, BatchTimes, latencies

BATCHES = st.lists(st.tuples(st.floats(0.01, 1e4), st.integers(1, 64)), min_size=1, max_size=80)


@given(BATCHES)
def test_percentiles_are_those_of_all_samples(batches: list[tuple[float, int]]) -> None:
    batch_ms, samples = np.array([ms for ms, _ in batches]), np.array([count for _, count in batches])
    found, every = latencies(batch_ms, samples), np.repeat(batch_ms, samples)
    expected = np.percentile(every, PERCENTILES, method="inverted_cdf")
    assert [found[f"p{percentile:g}"] for percentile in PERCENTILES] == expected.tolist()
    assert (found["min"], found["max"]) == (every.min(), every.max())
    assert found["mean"] == pytest.approx(every.mean())


def test_instances_add_up_to_the_whole() -> None:
    times = BatchTimes()
    for number in range(30):
        times.add(number % 3, 1 + number % 5, 0.002, 0.001)
    found = times.facts(4, window_s=2.0)
    assert found.samples == sum(one.samples for one in found.instances) == 90
    assert found.samples_per_s == pytest.approx(sum(one.samples_per_s for one in found.instances)) == 45
    assert [one.batches for one in found.instances] == [10, 10, 10, 0]  # the last one never had any
    assert found.busy_s == pytest.approx(0.06) == 2 * found.engine_s


def test_a_run_without_an_answer_has_no_latency() -> None:
    found = BatchTimes().facts(2, window_s=1.0)
    assert (found.samples, found.batch_latency_ms) == (0, {})
