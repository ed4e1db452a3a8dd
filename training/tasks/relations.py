"""How queries, keys and values of a last layer relate to each other, a student's to its teacher's .

They are scaled products of each with itself, whatever the number of heads. On a CPU samples go one after the other,
without padding; a GPU computes all of them in a few calls, which cost it more than the padding.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from training.network.packed_batch import PackedBatch
from training.network.packed_bert import PackedLayer
from training.tasks.squad import Shapes, SpanNetwork

_PARTS = 3  # queries, keys, values
_AT_PADDING = -1e4  # a logit that leaves no weight, and no NaN
Seen = tuple[SpanNetwork, Shapes]  # a network, and what it computed of a batch


def divergence(student: Seen, teacher: Seen, heads: int, batch: PackedBatch) -> Tensor:
    """Kullback–Leibler divergence, of each sample the mean over tokens, heads and parts, summed over samples."""
    of = together if batch.input_ids.is_cuda else one_by_one
    return of(student, teacher, heads, batch)


def one_by_one(student: Seen, teacher: Seen, heads: int, batch: PackedBatch) -> Tensor:
    """`divergence`, sample after sample."""
    with torch.no_grad():
        expected = _by_sample(*teacher, heads, batch)
    found = _by_sample(*student, heads, batch)
    terms = [
        F.kl_div(one, other, reduction="sum", log_target=True) / one.shape[-1] / heads / _PARTS
        for one, other in zip(found, expected, strict=True)
    ]
    return torch.stack(terms).sum()


def together(student: Seen, teacher: Seen, heads: int, batch: PackedBatch) -> Tensor:
    """`divergence`, of all samples at once."""
    with torch.no_grad():
        expected = _padded(*teacher, heads, batch)
    found = _padded(*student, heads, batch)
    of_rows = F.kl_div(found, expected, reduction="none", log_target=True).sum((0, 1, 4))  # [B, S]
    return (of_rows * _shares(batch)).sum() / heads / _PARTS


def _by_sample(network: SpanNetwork, found: Shapes, heads: int, batch: PackedBatch) -> list[Tensor]:
    """Of each sample's S tokens log-softmax of Q·Qᵀ, K·Kᵀ and V·Vᵀ, [3, heads, S, S]."""
    parts = torch.stack(_projected(network, found))  # [3, T, H]
    cut = parts.view(_PARTS, len(parts[0]), heads, -1).transpose(1, 2)  # [3, heads, T, H / heads]
    return [F.log_softmax(_related(one), dim=-1) for one in torch.split(cut, list(batch.lengths), dim=2)]


def _padded(network: SpanNetwork, found: Shapes, heads: int, batch: PackedBatch) -> Tensor:
    """[3, heads, B, S, S]."""
    whole = batch.padded(torch.cat(_projected(network, found), 1))  # [B, S, 3H]
    cut = whole.view(*whole.shape[:2], _PARTS, heads, -1).permute(2, 3, 0, 1, 4)  # [3, heads, B, S, H / heads]
    is_padding = (_shares(batch) == 0)[:, None]  # [B, 1, S]
    return F.log_softmax(_related(cut).masked_fill(is_padding, _AT_PADDING), dim=-1)


def _projected(network: SpanNetwork, found: Shapes) -> list[Tensor]:
    """Queries, keys and values of the last layer, [T, H] each."""
    layer = network.bert.encoder.layer[-1]
    assert isinstance(layer, PackedLayer)
    own = layer.attention.self
    return [one(found.states[-2]) for one in (own.query, own.key, own.value)]


def _related(rows: Tensor) -> Tensor:
    """[…, S, d] → [… S, S]."""
    scale: float = rows.shape[-1] ** -0.5
    return (rows @ rows.transpose(-1, -2)).float() * scale


def _shares(batch: PackedBatch) -> Tensor:
    """[B, S]: each token's share of its sample, 0 at padding."""
    starts = batch.cu_seqlens.long()
    lengths = starts.diff()
    places = torch.arange(max(batch.lengths), device=starts.device)
    return (places < lengths[:, None]) / lengths[:, None]
