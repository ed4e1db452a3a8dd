"""A student's first weights from its teacher's, where it has fewer layers, or narrower ones.

Of the teacher's layers, those at even distances are taken. Where the student is narrower, its states keep the
directions in which the teacher's differ most on some windows, and each product what its input and output keep of them:
of a head the leading part of its scores and of its mixture, of the inner neurons those with the largest effect.
Distillation then has little left to mend, and takes a fraction of the steps that random weights take.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from backends.bert.config import BertConfig
from backends.bert.torch_module import EncoderLayer
from sut.errors import UsageError
from training.network.packed_batch import PackedBatch
from training.tasks.squad import SpanNetwork

_SIZES = (
    *("num_hidden_layers", "hidden_size", "num_attention_heads", "head_size", "intermediate_size"),
    *("vocab_size", "max_position_embeddings", "type_vocab_size"),
)


def require_smaller(config: BertConfig, teacher: BertConfig) -> None:
    """Raise UsageError for a student that is larger than its teacher somewhere."""
    for name in _SIZES:
        found, most = getattr(config, name), getattr(teacher, name)
        if found > most:
            raise UsageError(
                f"expected a student with {name} of at most its teacher's {most:,} to start from its teacher's "
                f"weights, found {found:,}. Type: --init DIR, or a smaller --student."
            )


@torch.no_grad()
def start(student: SpanNetwork, teacher: SpanNetwork, batches: Sequence[PackedBatch]) -> Tensor:
    """Set the student's weights in place.

    Args:
        batches: windows, by which the teacher's states are known.

    Returns:
        The directions that are kept, float32 [H, D]: a teacher's state is about this times its student's.
    """
    found = [teacher.eval()(batch).states for batch in batches]
    states = [torch.cat(one) for one in zip(*found, strict=True)]  # of each layer [T, H]
    kept = _directions(states, student.qa_outputs.in_features)
    _embeddings(student, teacher, kept)
    own, taught = student.bert.encoder.layer, teacher.bert.encoder.layer
    for number, layer in enumerate(own):
        index = (number + 1) * len(taught) // len(own) - 1
        source = taught[index]
        assert isinstance(layer, EncoderLayer) and isinstance(source, EncoderLayer)
        _attention(layer, source, kept)
        _norm(layer.attention.output.LayerNorm, source.attention.output.LayerNorm, kept)
        _feed_forward(layer, source, kept, states[index])
        _norm(layer.output.LayerNorm, source.output.LayerNorm, kept)
    student.qa_outputs.weight.copy_(teacher.qa_outputs.weight @ kept)
    student.qa_outputs.bias.copy_(teacher.qa_outputs.bias)
    return kept


def _directions(states: Sequence[Tensor], size: int) -> Tensor:
    """[H, size]: the mixtures of channels in which states differ most; all of them where `size` is H.

    LayerNorm takes the mean of the channels away. With D - 1 directions that are orthogonal to it on both sides, the
    student's LayerNorm takes nothing else.
    """
    hidden, device = states[0].shape[1], states[0].device
    if size == hidden:
        return torch.eye(hidden, device=device)
    spread = torch.stack([one.T @ one / one.square().sum() for one in states]).sum(0)
    even = torch.eye(hidden, device=device) - 1 / hidden
    leading = torch.linalg.eigh(even @ spread @ even).eigenvectors[:, 1 - size :]
    turned = torch.linalg.qr(torch.randn(size - 1, size - 1).to(device)).Q  # no channel has more to carry than another
    around = torch.linalg.eigh(torch.eye(size, device=device) - 1 / size).eigenvectors[:, 1:]  # of the student's mean
    kept: Tensor = leading @ turned @ around.T
    return kept


def _embeddings(student: SpanNetwork, teacher: SpanNetwork, kept: Tensor) -> None:
    own, taught = student.bert.embeddings, teacher.bert.embeddings
    for name in ("word_embeddings", "position_embeddings", "token_type_embeddings"):
        table = getattr(own, name).weight
        table.copy_(getattr(taught, name).weight[: len(table)] @ kept)
    _norm(own.LayerNorm, taught.LayerNorm, kept)


def _norm(own: nn.LayerNorm, taught: nn.LayerNorm, kept: Tensor) -> None:
    """A kept direction has the mean of the weights of its channels."""
    hidden, size = kept.shape
    shares = kept.square()
    own.weight.copy_(taught.weight @ shares / shares.sum(0) * (hidden / size) ** 0.5)
    own.bias.copy_(taught.bias @ kept)


def _attention(own: EncoderLayer, taught: EncoderLayer, kept: Tensor) -> None:
    to, source = own.attention.self, taught.attention.self
    size = kept.shape[1]
    query, key, value = (_by_head(one, source.heads, kept) for one in (source.query, source.key, source.value))
    out = (kept.T @ taught.attention.output.dense.weight).view(size, source.heads, -1).transpose(0, 1)  # [heads, D, d]
    strength = (out @ value).flatten(1).norm(dim=1)
    heads = strength.argsort(descending=True)[: to.heads].sort().values
    scale = (to.head_size / source.head_size) ** 0.25  # scores are divided by the root of the head's size
    queries, keys = _halves(query[heads], key[heads], to.head_size)
    outs, values = _halves(out[heads].mT, value[heads], to.head_size)
    for layer, parts in ((to.query, scale * queries), (to.key, scale * keys), (to.value, values)):
        layer.weight.copy_(parts[..., :-1].flatten(0, 1))
        layer.bias.copy_(parts[..., -1].flatten())
    own.attention.output.dense.weight.copy_(outs.flatten(0, 1).T)
    own.attention.output.dense.bias.copy_(taught.attention.output.dense.bias @ kept)


def _by_head(layer: nn.Linear, heads: int, kept: Tensor) -> Tensor:
    """[heads, d, D + 1]: a layer's weights for what is kept, and its bias."""
    return torch.cat([layer.weight @ kept, layer.bias[:, None]], 1).view(heads, -1, kept.shape[1] + 1)


def _halves(left: Tensor, right: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """[heads, rank, n] and [heads, rank, m] with leftᵀ · right as near as `rank` allows; themselves at full rank."""
    if rank == left.shape[1]:
        return left, right
    columns, sizes, rows = torch.linalg.svd(left.mT @ right, full_matrices=False)
    roots = sizes[:, :rank, None].sqrt()
    return columns[..., :rank].mT * roots, rows[:, :rank] * roots


def _feed_forward(own: EncoderLayer, taught: EncoderLayer, kept: Tensor, states: Tensor) -> None:
    """The neurons that move the output most; the others count with their mean."""
    first, second = taught.intermediate.dense, taught.output.dense
    inner = nn.functional.gelu(first(states))  # what attention adds is left away: it changes the order little
    effect = inner.std(0) * (kept.T @ second.weight).norm(dim=0)
    chosen = effect.argsort(descending=True)[: own.intermediate.dense.out_features].sort().values
    mean = inner.mean(0).index_fill(0, chosen, 0.0)
    own.intermediate.dense.weight.copy_(first.weight[chosen] @ kept)
    own.intermediate.dense.bias.copy_(first.bias[chosen])
    own.output.dense.weight.copy_(kept.T @ second.weight[:, chosen])
    own.output.dense.bias.copy_((second.bias + second.weight @ mean) @ kept)
