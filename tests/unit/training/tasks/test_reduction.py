"""A student's first weights from its teacher's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from backends.bert.config import BertConfig
from sut.errors import UsageError
from training.network.packed_batch import PackedBatch, counted
from training.tasks import reduction
from training.tasks.squad import Shapes, SpanNetwork

WIDE = BertConfig(vocab_size=60, hidden_size=32, num_hidden_layers=4, num_attention_heads=4, intermediate_size=64)
LENGTHS = (9, 14, 21)


def network(config: BertConfig, seed: int) -> SpanNetwork:
    torch.manual_seed(seed)
    return SpanNetwork(config, 0.0).eval()


def batch() -> PackedBatch:
    lengths = np.array(LENGTHS)
    tokens = int(lengths.sum())
    return PackedBatch(
        input_ids=torch.randint(0, WIDE.vocab_size, (tokens,), generator=torch.Generator().manual_seed(3)),
        token_type_ids=torch.zeros(tokens, dtype=torch.int64),
        position_ids=torch.from_numpy(counted(lengths)),
        cu_seqlens=torch.from_numpy(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)),
        lengths=LENGTHS,
    )


def started(config: BertConfig, teacher: SpanNetwork) -> SpanNetwork:
    student = network(config, 2)
    reduction.start(student, teacher, [batch()])
    return student


@torch.no_grad()
def logits(found: SpanNetwork) -> Tensor:
    shapes: Shapes = found(batch())
    return shapes.logits


def test_a_student_of_its_teachers_geometry_is_its_teacher() -> None:
    teacher = network(WIDE, 1)
    torch.testing.assert_close(logits(started(WIDE, teacher)), logits(teacher))


def test_a_student_of_half_the_layers_has_every_other_one() -> None:
    teacher = network(WIDE, 1)
    student = started(replace(WIDE, num_hidden_layers=2), teacher)
    own, taught = student.state_dict(), teacher.state_dict()
    for number in range(2):
        for name in ("attention.self.query.weight", "output.dense.bias", "output.LayerNorm.weight"):
            at = "bert.encoder.layer.{}." + name
            torch.testing.assert_close(own[at.format(number)], taught[at.format(2 * number + 1)])


def narrow_teacher(inner: int) -> SpanNetwork:
    """A teacher that uses a few of its channels' directions, one of two halves of its heads, and few neurons."""
    teacher = network(WIDE, 1)
    basis = torch.linalg.qr(torch.cat([torch.ones(32, 1), torch.randn(32, 15)], 1)).Q[:, 1:]  # [32, 15]
    within = basis @ basis.T
    with torch.no_grad():
        for name, one in teacher.named_parameters():
            if "embeddings" in name and "LayerNorm" not in name:
                one.copy_(one @ within)
            if name.endswith(("attention.output.dense.weight", "output.dense.weight")):
                one.copy_(within @ one)
            if name.endswith("output.dense.bias"):
                one.copy_(within @ one)
            if "intermediate" in name:
                one[inner:] = 0
    return teacher


def test_a_narrow_student_of_a_teacher_that_uses_few_directions_computes_the_same() -> None:
    teacher = narrow_teacher(inner=16)
    with torch.no_grad():
        for name, one in teacher.named_parameters():
            if "attention.self" in name:
                one.view(4, 8, -1)[:, 4:] = 0  # half of each head's channels
    student = started(replace(WIDE, hidden_size=16, intermediate_size=16), teacher)
    torch.testing.assert_close(logits(student), logits(teacher), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "size"),
    [("num_hidden_layers", 5), ("hidden_size", 64), ("intermediate_size", 65), ("num_attention_heads", 8)],
)
def test_a_student_larger_than_its_teacher_is_refused(name: str, size: int) -> None:
    with pytest.raises(UsageError, match=f"{name} of at most its teacher's"):
        reduction.require_smaller(replace(WIDE, **{name: size}), WIDE)  # type: ignore[arg-type]  # a size by its name
