"""Pruning at once: what is left of each product is refitted to what the dense one computes.

Products go in the order of the computation. Each is fitted, by least squares on some windows, to the dense model's
output from the inputs that the products before it, already pruned, give it; where a residual is added, to its sum. In a
few rounds those blocks go whose loss the others make up for best (Optimal Brain Surgeon, for blocks as in
arXiv:2203.07259). A head or neuron goes as the block of all weights that read it. Training then has little left to
mend. The cost grows with the cube of a product's inputs: seconds for a width of 128, hours for BERT-Large on a CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.network.attention import attend
from training.network.packed_batch import PackedBatch
from training.network.packed_bert import PackedLayer
from training.tasks.sparsity import BLOCKS, STRUCTURED, Sparsity
from training.tasks.squad import SpanNetwork

_ROUNDS = 5
_DAMPING = 1e-3  # of the mean square of an input, which keeps the equations solvable
# Of the rows that are solved together. On a GPU those of 4,096 inputs go alone: batches of them print warnings.
_MOST_NUMBERS = {"cpu": 1 << 24, "cuda": 1 << 25}


@torch.no_grad()
def prune(
    network: SpanNetwork,
    dense: SpanNetwork,
    sparsity: Sparsity,
    batches: Sequence[PackedBatch],
    say: Callable[[str], None] = lambda _: None,
) -> None:
    """Make the share of each product of `network` zero, in place; `dense` is the model it was.

    Args:
        say: gets the layer that is being pruned.
    """
    embedded = [dense.bert.embeddings(one.input_ids, one.token_type_ids, one.position_ids) for one in batches]
    given = own = embedded
    layers = list(zip(dense.bert.encoder.layer, network.bert.encoder.layer, strict=True))
    for number, (source, layer) in enumerate(layers, 1):
        say(f"layer {number} of {len(layers)}")
        assert isinstance(source, PackedLayer) and isinstance(layer, PackedLayer)
        given, own = _layer(source, layer, given, own, _Fit(sparsity), batches)
        if sparsity.pattern == STRUCTURED:
            _clear(layer)


def _layer(
    source: PackedLayer,
    layer: PackedLayer,
    given: list[Tensor],
    own: list[Tensor],
    fit: _Fit,
    batches: Sequence[PackedBatch],
) -> tuple[list[Tensor], list[Tensor]]:
    """Prune a layer; returns what the dense and the pruned one give to the next."""
    for name in ("query", "key", "value"):
        linear = getattr(source.attention.self, name)
        fit(getattr(layer.attention.self, name), own, [linear(x) for x in given])
    heads = layer.attention.self.heads
    mixed, own_mixed = (
        [attend(_qkv(one, x), batch, heads, 0.0) for x, batch in zip(states, batches, strict=True)]
        for one, states in ((source, given), (layer, own))
    )
    size = layer.attention.self.head_size
    given, own = _end(source.attention.output, layer.attention.output, mixed, own_mixed, (given, own), fit, size)
    first = source.intermediate.dense
    fit(layer.intermediate.dense, own, [first(x) for x in given])
    inner = [F.gelu(first(x)) for x in given]
    own_inner = [F.gelu(layer.intermediate.dense(x)) for x in own]
    return _end(source.output, layer.output, inner, own_inner, (given, own), fit, 1)


def _qkv(layer: PackedLayer, x: Tensor) -> Tensor:
    own = layer.attention.self
    return torch.cat([own.query(x), own.key(x), own.value(x)], 1)


def _end(
    source: nn.Module,
    end: nn.Module,
    given: list[Tensor],
    own: list[Tensor],
    residuals: tuple[list[Tensor], list[Tensor]],
    fit: _Fit,
    size: int,
) -> tuple[list[Tensor], list[Tensor]]:
    """Fit the product before a residual, so that the sum is the dense one's; returns both after their LayerNorm.

    `size`: inputs of a head, or neuron.
    """
    assert isinstance(source.dense, nn.Linear) and isinstance(end.dense, nn.Linear)
    sums = [source.dense(x) + rest for x, rest in zip(given, residuals[0], strict=True)]
    fit(end.dense, own, [one - rest for one, rest in zip(sums, residuals[1], strict=True)], size)
    own_sums = [end.dense(x) + rest for x, rest in zip(own, residuals[1], strict=True)]
    return [source.LayerNorm(x) for x in sums], [end.LayerNorm(x) for x in own_sums]  # type: ignore[operator]


def _clear(layer: PackedLayer) -> None:
    """Make zero what heads and neurons compute that nothing reads any more."""
    own = layer.attention.self
    for writers, reader, size in (
        ((own.query, own.key, own.value), layer.attention.output.dense, own.head_size),
        ((layer.intermediate.dense,), layer.output.dense, 1),
    ):
        is_read = reader.weight.any(0).view(-1, size).any(1).repeat_interleave(size)
        for one in writers:
            one.weight.mul_(is_read[:, None])
            one.bias.mul_(is_read)


class _Fit:
    """Prunes one product after another."""

    def __init__(self, sparsity: Sparsity) -> None:
        self.share, self.block = sparsity.share, BLOCKS.get(sparsity.pattern)

    def __call__(self, linear: nn.Linear, inputs: list[Tensor], outputs: list[Tensor], size: int = 0) -> None:
        """Set weight and bias from inputs [T, K] and the outputs [T, N] to come near.

        Args:
            size: neighbouring inputs that go together for all outputs, where the pattern has no blocks; 0: none go.
        """
        x = torch.cat([F.pad(one, (0, 1), value=1.0) for one in inputs])  # the bias is the weight of a 1
        squares, products = x.T @ x, x.T @ torch.cat(outputs)
        squares.diagonal().add_(_DAMPING * squares.diagonal()[:-1].mean())
        outs, ins = linear.weight.shape
        rows, columns = self.block or (outs, size or ins)
        kept = torch.ones(outs // rows, ins // columns, dtype=torch.bool, device=x.device)
        for number in range(1, _ROUNDS + 1) if self.block or size else ():
            losses = torch.cat([_losses(*one, columns) for one in _solved(squares, products, kept)])
            losses = losses.view(kept.shape[0], rows, -1).sum(1).masked_fill(~kept, -1.0)
            count = round(self.share * (1 - (1 - number / _ROUNDS) ** 2) * kept.numel())
            kept.view(-1)[losses.view(-1).argsort(stable=True)[:count]] = False
        weights = torch.cat([one for one, _ in _solved(squares, products, kept)])
        linear.weight.copy_(weights[:, :-1])
        linear.bias.copy_(weights[:, -1])


def _solved(squares: Tensor, products: Tensor, kept: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """The best weights [n, K + 1] of some outputs at a time, and the inverse of their equations [m, K + 1, K + 1].

    m is n, or 1 where all outputs have the same inputs, and so the same equations.
    """
    size, outputs = len(squares), products.shape[1]
    rows, columns = outputs // len(kept), (size - 1) // kept.shape[1]
    mask = F.pad(kept.repeat_interleave(columns, 1), (0, 1), value=True)
    count = outputs if rows == outputs else max(1, _MOST_NUMBERS[squares.device.type] // size**2)
    masks = torch.split(mask if rows == outputs else mask.repeat_interleave(rows, 0), count)
    for part, of_rows in zip(masks, torch.split(products.T, count), strict=True):
        here = part.float()
        system = squares * here[:, :, None] * here[:, None] + torch.diag_embed(1 - here) * squares.diagonal().mean()
        inverse = torch.linalg.inv(system)
        known = (of_rows * here).view(len(here), -1, size)
        yield (known @ inverse).view(-1, size) * here, inverse


def _losses(weights: Tensor, inverse: Tensor, columns: int) -> Tensor:
    """[n, blocks]: what the outputs lose without a block of theirs, once the others make up for it."""
    places = torch.arange(len(inverse[0]) - 1, device=inverse.device).view(-1, columns)
    blocks = inverse[:, places[:, :, None], places[:, None]]  # [m, blocks, columns, columns]
    moved = weights[:, :-1].reshape(len(blocks), -1, *places.shape).permute(0, 2, 3, 1)  # [m, blocks, columns, n / m]
    lost: Tensor = (moved * torch.linalg.solve(blocks, moved)).sum(2)
    return lost.transpose(1, 2).reshape(len(weights), -1)
