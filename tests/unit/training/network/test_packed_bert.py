"""Pre-training without padding against Hugging Face's padded model: the same logits and the same gradients."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import BertConfig as PaddedConfig
from transformers import BertForPreTraining as PaddedBert

from backends.bert.config import BertConfig
from training.network.attention import blocks
from training.network.packed_batch import PretrainingBatch, pack_instances
from training.network.packed_bert import BertForPreTraining
from training.shards.instances import Instances, Row, from_rows

CONFIG = BertConfig(
    vocab_size=50,
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=24,
)
LENGTHS = {
    "one sample": [9],
    "the shortest": [2],
    "one length": [7, 7, 7],
    "odd lengths in no order": [5, 40, 3, 11, 11, 2, 39],
    "padded, alone, and with its heads in two blocks": [512, 300, 41, 38],
}


def instances(lengths: list[int]) -> Instances:
    draw = np.random.default_rng(len(lengths))

    def row(number: int, length: int) -> Row:
        masked = sorted(draw.choice(np.arange(1, length), max(1, length // 5), replace=False).tolist())
        ids = draw.integers(1, 50, length).tolist()  # 0 is [PAD], which has no gradient in the padded model
        first = max(1, length // 2)
        return Row(ids, [0] * first + [1] * (length - first), masked, ids[: len(masked)], number % 2)

    return from_rows(row(number, length) for number, length in enumerate(lengths))


def models() -> tuple[BertForPreTraining, PaddedBert]:
    torch.manual_seed(5)
    packed = BertForPreTraining(CONFIG, dropout=0.0).double()
    for parameter in packed.parameters():
        nn.init.normal_(parameter, std=0.3)
    config = PaddedConfig(
        vocab_size=CONFIG.vocab_size,
        hidden_size=CONFIG.hidden_size,
        num_hidden_layers=CONFIG.num_hidden_layers,
        num_attention_heads=CONFIG.num_attention_heads,
        intermediate_size=CONFIG.intermediate_size,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    padded = PaddedBert(config).double()
    missing = padded.load_state_dict(packed.state_dict(), strict=False).missing_keys
    assert set(missing) == {"cls.predictions.decoder.weight", "cls.predictions.decoder.bias"}  # tied to others
    return packed, padded


def padded_logits(model: PaddedBert, batch: PretrainingBatch) -> tuple[Tensor, Tensor]:
    ids, types = (
        nn.utils.rnn.pad_sequence(list(torch.split(values, list(batch.lengths))), batch_first=True)
        for values in (batch.input_ids, batch.token_type_ids)
    )
    there = torch.arange(ids.shape[1]) < torch.tensor(batch.lengths)[:, None]
    out = model(input_ids=ids, token_type_ids=types, attention_mask=there.long())
    return out.prediction_logits[there][batch.masked_index], out.seq_relationship_logits


def gradients(model: nn.Module, logits: tuple[Tensor, Tensor], batch: PretrainingBatch) -> dict[str, Tensor]:
    loss = F.cross_entropy(logits[0], batch.masked_ids) + F.cross_entropy(logits[1], batch.is_random_next)
    torch.autograd.backward(loss)
    return {name: one.grad for name, one in model.named_parameters() if one.grad is not None}


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
def test_logits_and_gradients_are_those_of_the_padded_model(lengths: list[int]) -> None:
    packed, padded = models()
    batch = pack_instances(instances(lengths))
    own, other = packed(batch), padded_logits(padded, batch)
    torch.testing.assert_close(own, other, rtol=1e-11, atol=1e-11)
    grads, expected = gradients(packed, own, batch), gradients(padded, other, batch)
    assert set(grads) == set(expected)
    torch.testing.assert_close(grads, expected, rtol=1e-9, atol=1e-11)


def test_float32_has_the_gradients_of_float64() -> None:
    """Heads of 16, which the native functions take. Of a key's bias the gradient is 0."""
    torch.manual_seed(5)
    single = BertForPreTraining(replace(CONFIG, hidden_size=64), dropout=0.0)
    for parameter in single.parameters():
        nn.init.normal_(parameter, std=0.1)
    double = copy.deepcopy(single).double()
    batch = pack_instances(instances([40, 7, 33]))
    grads, expected = (gradients(model, model(batch), batch) for model in (single, double))
    for name, grad in expected.items():
        largest = float(grad.abs().max())
        torch.testing.assert_close(grads[name].double(), grad, rtol=1e-3, atol=1e-4 * largest + 1e-6, msg=name)


def test_short_samples_share_a_block_and_the_heads_of_a_long_one_are_split() -> None:
    found = blocks((512, 300, 40, 38), 4, 16)
    assert [(one.count, one.length, one.heads) for one in found] == [
        (1, 512, slice(0, 2)),
        (1, 512, slice(2, 4)),
        (1, 300, slice(0, 4)),
        (2, 40, slice(0, 4)),
    ]


def test_a_batch_is_its_samples_the_longest_first() -> None:
    rows = instances([4, 9, 6])
    batch = pack_instances(rows)
    order = [1, 2, 0]
    assert batch.lengths == (9, 6, 4) and batch.cu_seqlens.tolist() == [0, 9, 15, 19]
    for values, name in ((batch.input_ids, "input_ids"), (batch.token_type_ids, "segment_ids")):
        assert [part.tolist() for part in torch.split(values, list(batch.lengths))] == [
            getattr(rows.row(i), name) for i in order
        ]
    assert batch.position_ids.tolist() == [*range(9), *range(6), *range(4)]
    starts = dict(zip(order, (0, 9, 15), strict=True))
    assert batch.masked_index.tolist() == [starts[i] + at for i in order for at in rows.row(i).masked_lm_positions]
    assert batch.masked_ids.tolist() == [one for i in order for one in rows.row(i).masked_lm_ids]
    assert batch.is_random_next.tolist() == [1, 0, 0]


@pytest.mark.parametrize("lengths", [[7, 7, 5], [40, 3]])
def test_gradients_with_dropout_are_those_of_the_same_draws(lengths: list[int]) -> None:
    """By central differences, with the generator in the same state for each value."""
    torch.manual_seed(2)
    model = BertForPreTraining(replace(CONFIG, num_hidden_layers=1), dropout=0.3).double()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    batch = pack_instances(instances(lengths))
    value = _loss_of(model, batch)
    grads = gradients(model, _drawn(model, batch), batch)
    for name, parameter in model.named_parameters():
        index = int(grads[name].abs().argmax())
        torch.testing.assert_close(grads[name].flatten()[index], _slope(parameter, index, value), rtol=1e-5, atol=1e-9)


def test_activation_checkpointing_gives_the_same_gradients_with_the_same_dropout() -> None:
    batch, found = pack_instances(instances([7, 7, 5])), []
    for checkpointed in (False, True):
        torch.manual_seed(3)
        model = BertForPreTraining(CONFIG, dropout=0.3, checkpointed=checkpointed)
        found.append(gradients(model, _drawn(model, batch), batch))
    torch.testing.assert_close(found[1], found[0], rtol=0, atol=0)


def _drawn(model: BertForPreTraining, batch: PretrainingBatch) -> tuple[Tensor, Tensor]:
    torch.manual_seed(11)
    masked, following = model(batch)
    return masked, following


def _loss_of(model: BertForPreTraining, batch: PretrainingBatch) -> Callable[[], Tensor]:
    def value() -> Tensor:
        masked, following = _drawn(model, batch)
        return F.cross_entropy(masked, batch.masked_ids) + F.cross_entropy(following, batch.is_random_next)

    return value


@torch.no_grad()
def _slope(parameter: Tensor, index: int, value: Callable[[], Tensor], step: float = 1e-6) -> Tensor:
    flat = parameter.view(-1)
    before = flat[index].clone()
    found = []
    for side in (1, -1):
        flat[index] = before + side * step
        found.append(value())
    flat[index] = before
    return (found[0] - found[1]) / (2 * step)
