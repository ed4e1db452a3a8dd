"""Pruning at once: whole blocks, and an output nearer to the dense model's than without the smallest weights."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor

from backends.bert.config import BertConfig
from training.network.packed_batch import PackedBatch, counted
from training.tasks import one_shot, pruning
from training.tasks.pruning import Pruning
from training.tasks.sparsity import PATTERNS, Sparsity
from training.tasks.squad import Shapes, SpanNetwork

TINY = BertConfig(vocab_size=60, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32)
LENGTHS = np.array([40, 61, 52])


def batch(seed: int) -> PackedBatch:
    tokens = int(LENGTHS.sum())
    return PackedBatch(
        input_ids=torch.randint(0, TINY.vocab_size, (tokens,), generator=torch.Generator().manual_seed(seed)),
        token_type_ids=torch.zeros(tokens, dtype=torch.int64),
        position_ids=torch.from_numpy(counted(LENGTHS)),
        cu_seqlens=torch.from_numpy(np.concatenate([[0], np.cumsum(LENGTHS)]).astype(np.int32)),
        lengths=tuple(LENGTHS.tolist()),
    )


def network() -> SpanNetwork:
    torch.manual_seed(1)
    return SpanNetwork(TINY, 0.0).eval()


@torch.no_grad()
def states(found: SpanNetwork) -> Tensor:
    shapes: Shapes = found(batch(9))
    return shapes.states[-1]


@pytest.mark.parametrize("pattern", sorted(PATTERNS))
def test_zeros_are_whole_blocks_and_the_rest_is_refitted(pattern: str) -> None:
    dense, once, smallest = network(), network(), network()
    sparsity = Sparsity(share=0.5, pattern=pattern)
    one_shot.prune(once, dense, sparsity, [batch(seed) for seed in range(3)])
    Pruning(smallest, TINY, sparsity, last_step=1).after_step(1)
    before = copy.deepcopy(once.state_dict())
    assert pruning.zeros(before, TINY)["all"] == pytest.approx(0.5, abs=0.01)
    Pruning(once, TINY, sparsity, last_step=1).after_step(1)  # finds the same blocks
    for name, weight in before.items():
        assert torch.equal(once.state_dict()[name], weight), name
    errors = [(states(one) - states(dense)).square().mean() for one in (once, smallest)]
    assert errors[0] < 0.7 * errors[1]


def test_a_product_without_zeros_stays_what_it_was() -> None:
    dense, found = network(), network()
    one_shot.prune(found, dense, Sparsity(share=0.0), [batch(seed) for seed in range(3)])
    torch.testing.assert_close(states(found), states(dense), atol=0.02, rtol=0.02)
