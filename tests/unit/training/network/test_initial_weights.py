"""Initial weights: what they are made for holds before the first step."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor  # noqa: E402

from backends.bert.config import BertConfig  # noqa: E402
from training.network import initial_weights  # noqa: E402
from training.network.initial_weights import BERT_STD, NEIGHBOURS, attentions  # noqa: E402
from training.network.packed_bert import BertForPreTraining, PackedBert  # noqa: E402

CONFIG = BertConfig(vocab_size=500, hidden_size=128, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64)
TOKENS = 40


def network(kind: str) -> BertForPreTraining:
    torch.manual_seed(1)
    found = BertForPreTraining(CONFIG, dropout=0.0)
    initial_weights.INITIAL_WEIGHTS[kind](found, CONFIG)
    return found


def first_attention(bert: PackedBert, ids: Tensor) -> Tensor:
    """The weights of the first layer's heads, [heads, TOKENS, TOKENS]."""
    first, positions = attentions(bert)[0], torch.arange(len(ids))
    with torch.inference_mode():
        x = bert.embeddings(ids, (positions > len(ids) // 2).long(), positions)
        query, key = (linear(x).view(len(ids), first.heads, -1).transpose(0, 1) for linear in (first.query, first.key))
        weights: Tensor = torch.softmax(query @ key.transpose(1, 2) * first.head_size**-0.5, -1)
    return weights


def test_each_head_of_early_weights_looks_at_its_neighbour() -> None:
    weights = first_attention(network("early").bert, torch.randint(CONFIG.vocab_size, (TOKENS,)))
    inner = torch.arange(2, TOKENS - 2)  # all neighbours exist
    for head, offset in enumerate(NEIGHBOURS):
        assert (weights[head, inner].argmax(1) == inner + offset).float().mean() > 0.9
        assert weights[head, inner, inner + offset].mean() > 0.5


def test_equal_words_attend_to_each_other_in_matching_weights() -> None:
    torch.manual_seed(1)
    bert = PackedBert(CONFIG)
    initial_weights.matching(bert, CONFIG)
    ids = torch.randperm(CONFIG.vocab_size)[:TOKENS]
    ids[30] = ids[5]
    weights = first_attention(bert.eval(), ids).mean(0)
    assert weights[5, 30] > 4 * weights[5, [29, 31]].max()


def test_berts_own_weights_are_cut_off_at_two_deviations() -> None:
    found = network("bert")
    weights = torch.cat([one.flatten() for name, one in found.named_parameters() if one.dim() == 2]).detach()
    assert weights.abs().max() <= 2 * BERT_STD
    assert float(weights.std()) == pytest.approx(0.88 * BERT_STD, rel=0.02)  # of the distribution that was cut off
    assert not torch.cat([one.flatten() for name, one in found.named_parameters() if name.endswith("bias")]).any()
