"""Batches: every sample once, the budget kept, hardly any padding."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sut.batching import Waiting, by_length, oldest_first

SAMPLES = st.lists(st.integers(1, 384), min_size=1, max_size=200).map(
    lambda lengths: [Waiting(1000 + i, i, length) for i, length in enumerate(lengths)]
)
BUDGET = st.integers(1, 4000)


def computed(batch: list[Waiting]) -> int:
    return len(batch) * max(sample.length for sample in batch)


@given(SAMPLES, BUDGET)
def test_by_length_loses_nothing_and_keeps_the_budget(samples: list[Waiting], budget: int) -> None:
    batches = by_length(samples, budget)
    assert sorted(sample for batch in batches for sample in batch) == sorted(samples)
    assert all(len(batch) == 1 or computed(batch) <= budget for batch in batches)
    longest = [max(sample.length for sample in batch) for batch in batches]
    assert longest == sorted(longest, reverse=True)


@given(SAMPLES, BUDGET)
def test_oldest_first_drains_a_queue_and_never_lets_the_oldest_wait(samples: list[Waiting], budget: int) -> None:
    waiting, seen = list(samples), []
    while waiting:
        batch = oldest_first(waiting, budget)
        assert batch[0] == waiting[0]
        assert len(batch) == 1 or computed(batch) <= budget
        seen += batch
        waiting = [sample for sample in waiting if sample not in batch]
    assert sorted(seen) == sorted(samples)


@pytest.mark.parametrize("seed", range(5))
def test_lengths_like_squads_waste_next_to_nothing(seed: int) -> None:
    lengths = np.clip(np.random.default_rng(seed).gamma(9, 20, 10_833), 20, 384).astype(int).tolist()
    batches = by_length([Waiting(i, i, length) for i, length in enumerate(lengths)], 1536)
    assert sum(map(computed, batches)) / sum(lengths) < 1.01


@pytest.mark.parametrize("depth", [2, 4, 8, 32, 200])
def test_a_queues_batches_waste_little_however_deep_it_is(depth: int) -> None:
    lengths = np.clip(np.random.default_rng(depth).gamma(9, 20, 4000), 20, 384).astype(int).tolist()
    arriving = [Waiting(i, i, length) for i, length in enumerate(lengths)]
    waiting, batches = arriving[:depth], []
    del arriving[:depth]
    while waiting:
        batches.append(oldest_first(waiting, 1536))
        waiting = [sample for sample in waiting if sample not in batches[-1]]
        waiting += arriving[: len(batches[-1])]
        del arriving[: len(batches[-1])]
    assert sum(map(computed, batches)) / sum(lengths) < 1.06


def test_by_hand() -> None:
    samples = [Waiting(i, i, length) for i, length in enumerate([10, 50, 20, 49, 5])]
    assert [[s.length for s in batch] for batch in by_length(samples, 100)] == [[50, 49], [20, 10, 5]]
    far = [Waiting(i, i, length) for i, length in enumerate([300, 100, 290, 99])]
    assert [[s.length for s in batch] for batch in by_length(far, 10_000)] == [[300, 290], [100, 99]]
    assert [s.length for s in oldest_first(samples, 40)] == [10, 5]
