"""The Server's queue: nothing lost, the oldest first, what is late last, and a pace that keeps the latency."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sut.queries.server_queue import BatchLimits, ServerQueue, WaitingSample, batch_limits

MEAN_LENGTH = 180.0


@given(st.lists(st.integers(1, 384), max_size=300), st.integers(1, 2000), st.booleans(), st.floats(0, 2))
def test_every_sample_leaves_once_with_its_own_index(
    lengths: list[int], budget: int, packed: bool, patience_s: float
) -> None:
    queue = ServerQueue(BatchLimits(budget, packed, patience_s))
    left: list[int] = []
    for number, length in enumerate(lengths):
        queue.push(WaitingSample(1000 + number, number, length, arrived_s=number / 100))
        if number % 7 == 0:
            left += drain(queue, number / 100, most=1)
    assert queue.tokens == sum(lengths) - sum(lengths[number] for number in left)
    left += drain(queue, len(lengths) / 100)
    assert sorted(left) == list(range(len(lengths)))
    assert queue.tokens == 0


def drain(queue: ServerQueue, now_s: float, most: int = 1000) -> list[int]:
    left: list[int] = []
    for _ in range(most):
        if (job := queue.pop_job(now_s)) is None:
            break
        assert (job.ids - 1000 == job.indexes).all()
        left += job.indexes.tolist()
    return left


def test_late_samples_wait_for_all_others() -> None:
    queue = ServerQueue(BatchLimits(100, True, patience_s=1.0))
    for number, arrived_s in enumerate((0.0, 0.1, 1.5, 1.6)):
        queue.push(WaitingSample(1000 + number, number, 100, arrived_s))
    assert drain(queue, now_s=2.0) == [2, 3, 0, 1]
    for number, arrived_s in enumerate((0.0, 0.1, 1.5, 1.6)):
        queue.push(WaitingSample(1000 + number, number, 100, arrived_s))
    assert drain(queue, now_s=1.0) == [0, 1, 2, 3]


def test_batch_limits_keep_the_target_latency() -> None:
    def tokens(target_latency_s: float | None, batch_s: float = 0.0, token_s: float = 1e-5) -> int:
        found = batch_limits(1536, packed=True, batch_s=batch_s, token_s=token_s, target_latency_s=target_latency_s)
        assert found.patience_s >= 0
        return found.max_batch_tokens

    assert tokens(None) == 1536
    assert tokens(10.0) == 1536
    assert tokens(0.04) == pytest.approx(1000, abs=1)
    assert tokens(0.04, batch_s=0.005) == pytest.approx(500, abs=1)
    assert tokens(0.001, batch_s=1.0) == 1  # nothing is fast enough: every sample on its own


def late_share(load: float, target_latency_s: float, packed: bool, seed: int) -> float:
    """One instance at a share of its packed speed, Poisson arrivals; starting a batch is worth 32 tokens."""
    token_s, queries = 1 / 60_000, 6000
    rng = np.random.default_rng(seed)
    arrivals = np.cumsum(rng.exponential(MEAN_LENGTH * token_s / load, queries))
    lengths = np.clip(rng.gamma(9, MEAN_LENGTH / 9, queries), 20, 384).astype(int)
    queue = ServerQueue(
        batch_limits(1536, packed=packed, batch_s=32 * token_s, token_s=token_s, target_latency_s=target_latency_s)
    )
    now_s, came, late, answered = 0.0, 0, 0, 0
    while answered < queries:
        while came < queries and arrivals[came] <= now_s:
            queue.push(WaitingSample(came, came, int(lengths[came]), float(arrivals[came])))
            came += 1
        job = queue.pop_job(now_s)
        if job is None:
            now_s = float(arrivals[came])
            continue
        of = lengths[job.indexes]
        now_s += token_s * (32 + int(of.sum() if packed else len(of) * of.max()))
        late += int((now_s - arrivals[job.indexes] > target_latency_s).sum())
        answered += len(of)
    return late / queries


@pytest.mark.parametrize(("packed", "load"), [(True, 0.88), (False, 0.8)])
@pytest.mark.parametrize("seed", range(3))
def test_at_high_load_the_99th_percentile_is_kept(packed: bool, load: float, seed: int) -> None:
    assert late_share(load, 0.13, packed, seed) < 0.01


def test_over_full_load_few_are_late_before_all_are() -> None:
    assert late_share(1.03, 0.13, True, 0) < 0.2
