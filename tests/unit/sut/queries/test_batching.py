"""Batches: every sample once, the budget kept, hardly any padding, and instances that end together."""

from __future__ import annotations

import heapq
from itertools import islice, pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sut.queries.batching import by_length, oldest_first

Int64 = npt.NDArray[np.int64]
LENGTHS = st.lists(st.integers(1, 384), min_size=1, max_size=200).map(lambda lengths: np.array(lengths, np.int64))
BUDGET = st.integers(1, 4000)
MOST = 1536


def like_squad(samples: int, seed: int) -> Int64:
    return np.clip(np.random.default_rng(seed).gamma(9, 20, samples), 20, 384).astype(np.int64)


def computed(lengths: Int64, packed: bool) -> int:
    return int(lengths.sum() if packed else len(lengths) * lengths.max())


@given(LENGTHS, BUDGET, st.booleans(), st.integers(1, 5))
def test_by_length_loses_nothing_and_keeps_the_budget(
    lengths: Int64, budget: int, packed: bool, instances: int
) -> None:
    batches = list(by_length(lengths, budget, packed=packed, instances=instances))
    assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
    assert all(len(batch) == 1 or computed(lengths[batch], packed) <= budget for batch in batches)
    longest = [lengths[batch].max() for batch in batches]
    assert longest[0] == lengths.max()
    assert packed or longest == sorted(longest, reverse=True)


@given(LENGTHS, BUDGET, st.booleans())
def test_oldest_first_drains_a_queue_and_never_lets_the_oldest_wait(lengths: Int64, budget: int, packed: bool) -> None:
    waiting, seen = np.arange(len(lengths)), []
    while len(waiting):
        batch = oldest_first(lengths[waiting], budget, packed=packed)
        assert batch[0] == 0
        assert len(batch) == 1 or computed(lengths[waiting[batch]], packed) <= budget
        seen += waiting[batch].tolist()
        waiting = np.delete(waiting, batch)
    assert sorted(seen) == list(range(len(lengths)))


@given(LENGTHS, BUDGET, st.booleans(), st.integers(1, 5), st.integers(1, 40))
def test_a_batch_size_is_kept_within_the_budget(
    lengths: Int64, budget: int, packed: bool, instances: int, size: int
) -> None:
    batches = list(by_length(lengths, budget, packed=packed, instances=instances, batch_size=size))
    assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
    assert all(len(batch) == 1 or computed(lengths[batch], packed) <= budget for batch in batches)
    assert all(len(batch) <= size for batch in batches)
    for batch, following in pairwise(batches):
        grown = np.append(batch, following[0])
        assert len(batch) == size or computed(lengths[grown], packed) > budget


@given(LENGTHS, BUDGET, st.booleans(), st.integers(1, 40))
def test_a_queue_gives_no_more_than_the_batch_size(lengths: Int64, budget: int, packed: bool, size: int) -> None:
    batch = oldest_first(lengths, budget, packed=packed, batch_size=size)
    assert batch[0] == 0
    assert len(set(batch.tolist())) == len(batch) <= size
    assert len(batch) == 1 or computed(lengths[batch], packed) <= budget


@pytest.mark.parametrize("seed", range(5))
def test_lengths_like_squads_waste_next_to_nothing(seed: int) -> None:
    lengths = like_squad(10_833, seed)
    batches = list(by_length(lengths, MOST, packed=False))
    assert sum(computed(lengths[batch], False) for batch in batches) / lengths.sum() < 1.01


def test_packed_batches_are_full() -> None:
    lengths = like_squad(10_833, 0)
    batches = list(by_length(lengths, MOST, packed=True))
    assert all(computed(lengths[batch], True) > MOST - 384 for batch in batches)


@pytest.mark.parametrize("depth", [2, 4, 8, 32, 200])
def test_a_queues_batches_waste_little_however_deep_it_is(depth: int) -> None:
    lengths = like_squad(4000, depth)
    waiting, coming, wasted = np.arange(depth), iter(range(depth, 4000)), 0
    while len(waiting):
        batch = waiting[oldest_first(lengths[waiting], MOST, packed=False)]
        wasted += computed(lengths[batch], False) - computed(lengths[batch], True)
        waiting = np.concatenate([np.setdiff1d(waiting, batch), np.fromiter(islice(coming, len(batch)), np.int64)])
    assert wasted / lengths.sum() < 0.06


def makespan(seconds: list[float], instances: int) -> float:
    """When the last batch ends, if each instance has the next one waiting behind that which it works on."""
    free, batches = [(0.0, number) for number in range(instances)] * 2, iter(seconds)
    ends = [0.0] * instances
    while free:
        now_s, number = heapq.heappop(free)
        if batch_s := next(batches, None):
            ends[number] = max(ends[number], now_s) + batch_s
            heapq.heappush(free, (ends[number], number))
    return max(ends)


# Every value of each with every value of each other, once or more: (packed, instances, overhead_tokens, per_instance).
# 25 samples an instance are packed only: a few padded batches are as different as their lengths.
PAIRWISE = [
    (per_instance == 25, instances, overhead_tokens, per_instance)
    for row, instances in enumerate((1, 2, 4, 16))
    for column, overhead_tokens in enumerate((0, 32, 100))
    for per_instance in [(25, 200, 2000)[(row + column) % 3]]
] + [(True, 16, 100, 200), (True, 2, 0, 2000)]


@pytest.mark.parametrize(("packed", "instances", "overhead_tokens", "per_instance"), PAIRWISE)
def test_instances_end_together(packed: bool, instances: int, overhead_tokens: int, per_instance: int) -> None:
    """A batch takes its computed tokens and a constant; ideal is what one instance would take, evenly shared."""
    lengths = like_squad(per_instance * instances, instances)

    def seconds(aware_of: int) -> list[float]:
        batches = by_length(lengths, MOST, packed=packed, instances=aware_of)
        return [float(computed(lengths[batch], packed) + overhead_tokens) for batch in batches]

    slack = 1.03 if per_instance >= 200 else 1.05  # of few batches, one more than one instance would make tells
    assert makespan(seconds(instances), instances) < slack * sum(seconds(1)) / instances


def test_by_hand() -> None:
    def cut(lengths: list[int], budget: int, packed: bool) -> list[list[int]]:
        found = np.array(lengths)
        return [found[batch].tolist() for batch in by_length(found, budget, packed=packed)]

    assert cut([10, 50, 20, 49, 5], 100, False) == [[50, 49], [20, 10, 5]]
    assert cut([10, 50, 20, 49, 5], 120, True) == [[50, 10, 5], [49, 20]]
    assert cut([10, 500, 20, 49, 5], 120, True) == [[500], [49, 20, 10, 5]]
    assert cut([300, 100, 290, 99], 10_000, False) == [[300, 290], [100, 99]]
    assert oldest_first(np.array([10, 50, 20, 49, 5]), 40, packed=False).tolist() == [0, 4]
    assert oldest_first(np.array([10, 50, 20, 49, 5]), 80, packed=True).tolist() == [0, 1, 2]
