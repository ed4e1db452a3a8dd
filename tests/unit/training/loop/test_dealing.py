"""Samples of a step: an epoch is a permutation, a step's samples are dealt without loss and evenly."""

from __future__ import annotations

import numpy as np
import pytest

from training.loop.dealing import deal, micro_batches, permuted, rows_of_step


@pytest.mark.parametrize("count", [1, 2, 3, 16, 17, 1000])
def test_an_epoch_has_each_row_once(count: int) -> None:
    orders = [permuted(np.arange(count), count, 7, epoch).tolist() for epoch in range(2)]
    assert all(sorted(order) == list(range(count)) for order in orders)
    assert count < 16 or orders[0] != orders[1] != list(range(count))


def test_steps_go_through_epochs_without_a_gap() -> None:
    rows = np.concatenate([rows_of_step(3, step, 12, 20) for step in range(1, 11)])  # six epochs
    assert [sorted(epoch) for epoch in rows.reshape(6, 20).tolist()] == [list(range(20))] * 6
    assert rows_of_step(3, 2, 12, 20).tolist() == rows[12:24].tolist()
    assert rows_of_step(4, 2, 12, 20).tolist() != rows[12:24].tolist()


def test_a_step_of_a_large_set_needs_none_of_it() -> None:
    rows = rows_of_step(1, 300_000, 448, 156_000_000)
    assert len(set(rows.tolist())) == 448 and rows.max() < 156_000_000
    assert abs(rows.mean() / 78_000_000 - 1) < 0.1


@pytest.mark.parametrize("size", [1, 2, 3, 8])
@pytest.mark.parametrize("samples", [1, 2, 7, 64])
def test_each_sample_is_dealt_once(size: int, samples: int) -> None:
    lengths = np.random.default_rng(samples).integers(5, 513, samples).astype(np.int32)
    ranks = micro_batches(lengths, size, 1024)
    dealt = [one for rank in ranks for batch in rank if batch.counts for one in batch.samples.tolist()]
    assert sorted(dealt) == list(range(samples))
    assert len({len(rank) for rank in ranks}) == 1  # as many micro-batches on each
    assert all(lengths[batch.samples].sum() <= 1024 for rank in ranks for batch in rank)
    for rank in ranks:
        assert all((np.diff(lengths[batch.samples]) <= 0).all() for batch in rank)


def test_ranks_get_equal_work() -> None:
    lengths = np.random.default_rng(0).integers(5, 513, 256).astype(np.int32)
    tokens = [int(lengths[hand].sum()) for hand in deal(lengths, 8)]
    assert max(tokens) / min(tokens) < 1.01


def test_at_least_as_many_micro_batches_as_asked() -> None:
    lengths = np.full(12, 10, np.int32)
    assert [len(rank) for rank in micro_batches(lengths, 2, 10_000, least=3)] == [3, 3]
    assert [len(rank) for rank in micro_batches(lengths[:4], 2, 10_000, least=3)] == [2, 2]  # no more than samples
