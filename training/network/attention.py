"""Attention within each sample of a packed batch, forward and backward.

On a CPU, float32 goes through `native`. In other types samples are taken in blocks small enough that a
block's weights stay in the cache; torch's flash kernel is slower there up to 384 tokens, and has no dropout. Samples of
a block have one length; where a sample is so short that a call costs more than it computes, a block pads a few samples
to its longest, inside attention only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from training.network.dropout import dropped_share, keep_mask
from training.network.native import library
from training.network.native.library import Draws, Library
from training.network.packed_batch import PackedBatch

_BLOCK_WEIGHTS = 1 << 19  # attention weights of a block: 2 MiB in float32, within a core's second-level cache
_CALL_WORK = 8e6  # floating-point operations in the time that the calls for one more block cost
_FLASH_DTYPES, _FLASH_SINCE = (torch.float16, torch.bfloat16), (8, 0)  # Ampere


# Each batch has other blocks, so a compiled layer calls it between its two graphs.
@torch.compiler.disable  # type: ignore[untyped-decorator]  # torch has no types for it
def attend(qkv: Tensor, batch: PackedBatch, heads: int, dropout: float) -> Tensor:
    """Queries, keys and values [T, 3H] (each H with its heads next to each other) → their mixture [T, H]."""
    if qkv.is_cuda:
        return _on_gpu(qkv, batch, heads, dropout)
    if native := library.for_tensors(qkv.shape[1] // 3 // heads, qkv):
        arguments = qkv, batch.cu_seqlens, heads, Draws.of(dropout), native
        return _NativeAttention.apply(*arguments)  # type: ignore[no-any-return, no-untyped-call]
    plan = blocks(batch.lengths, heads, qkv.shape[1] // 3)
    return _BlockAttention.apply(qkv, plan, heads, dropout)  # type: ignore[no-any-return, no-untyped-call]


def _on_gpu(qkv: Tensor, batch: PackedBatch, heads: int, dropout: float) -> Tensor:
    """In autocast's type, which products that round by themselves leave."""
    if torch.is_autocast_enabled("cuda"):
        qkv = qkv.to(torch.get_autocast_dtype("cuda"))
    fits = qkv.dtype in _FLASH_DTYPES and qkv.shape[1] // 3 // heads % 8 == 0
    if fits and torch.cuda.get_device_capability(qkv.device) >= _FLASH_SINCE:
        return _flash(qkv, batch, heads, dropout)
    return _padded(qkv, batch, heads, dropout)


def _flash(qkv: Tensor, batch: PackedBatch, heads: int, dropout: float) -> Tensor:
    """The kernel behind `torch.nn.attention.varlen`, which has no argument for dropout."""
    query, key, value = qkv.view(len(qkv), 3, heads, -1).unbind(1)  # [T, heads, head] each
    ends, longest = batch.cu_seqlens, max(batch.lengths)
    mixed = torch.ops.aten._flash_attention_forward(
        query, key, value, ends, ends, longest, longest, dropout, False, False
    )[0]
    return mixed.reshape(len(qkv), -1)  # type: ignore[no-any-return]


def _padded(qkv: Tensor, batch: PackedBatch, heads: int, dropout: float) -> Tensor:
    """For what has no kernel with cu_seqlens, such as float32: padded to the longest sample inside attention."""
    count, longest = len(batch.lengths), max(batch.lengths)
    lengths = torch.tensor(batch.lengths, device=qkv.device)
    there = torch.arange(longest, device=qkv.device) < lengths[:, None]  # [B, S]
    whole = qkv.new_zeros(count, longest, qkv.shape[1]).masked_scatter(there[..., None], qkv)
    query, key, value = whole.view(count, longest, 3, heads, -1).permute(2, 0, 3, 1, 4)
    mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=there[:, None, None], dropout_p=dropout)
    return mixed.transpose(1, 2).flatten(2)[there]


@dataclass(frozen=True)
class Block:
    """Samples that follow each other, and some of their heads, in one call: `count` by `length` tokens."""

    tokens: slice  # of the batch
    count: int
    length: int
    heads: slice
    places: Tensor | None  # int64, of each token in the padded block; None: no padding
    bias: Tensor | None  # float32 [count, 1, 1, length], -inf at padding; None: no padding

    def padded(self, rows: Tensor, parts: int, heads: int) -> Iterator[Tensor]:
        """Rows [T, parts · H] → of each part the block's heads [count · heads, length, head]."""
        taken = rows[self.tokens]
        if self.places is not None:
            whole = taken.new_zeros(self.count * self.length, taken.shape[1])
            taken = whole.index_copy_(0, self.places, taken)
        parted = taken.view(self.count, self.length, parts, heads, -1)[:, :, :, self.heads]
        for part in parted.permute(2, 0, 3, 1, 4):
            yield part.reshape(-1, self.length, part.shape[-1])

    def put(self, rows: Tensor, parts: list[Tensor], heads: int) -> None:
        """The reverse of `padded`: writes the block's heads of each part into `rows`."""
        into = rows[self.tokens]
        if self.places is not None:
            whole = into.new_empty(self.count * self.length, into.shape[1])
            self._write(whole, parts, heads)
            torch.index_select(whole, 0, self.places, out=into)
        else:
            self._write(into, parts, heads)

    def _write(self, rows: Tensor, parts: list[Tensor], heads: int) -> None:
        parted = rows.view(self.count, self.length, len(parts), heads, -1)[:, :, :, self.heads]
        for number, part in enumerate(parts):
            parted[:, :, number].transpose(1, 2).copy_(part.view(self.count, -1, *part.shape[1:]))


@lru_cache(maxsize=64)
def blocks(lengths: tuple[int, ...], heads: int, width: int) -> tuple[Block, ...]:
    """The blocks of samples of `lengths` tokens, in their order."""
    found, first, start = [], 0, 0
    while first < len(lengths):
        count = _count(lengths[first:], heads, width)
        own = lengths[first : first + count]
        tokens = slice(start, start + sum(own))
        step = max(1, min(heads, _BLOCK_WEIGHTS // (count * max(own) ** 2)))
        places, bias = _padding(own)
        found += [
            Block(tokens, count, max(own), slice(head, min(heads, head + step)), places, bias)
            for head in range(0, heads, step)
        ]
        first, start = first + count, tokens.stop
    return tuple(found)


def _count(lengths: tuple[int, ...], heads: int, width: int) -> int:
    """How many of the first samples share a block: as long as one more costs less padded than by calls of its own."""
    longest, count = lengths[0], 1
    for length in lengths[1:]:
        most = max(longest, length)
        full = (count + 1) * heads * most**2 > _BLOCK_WEIGHTS
        padding = count * (most**2 - longest**2) + most**2 - length**2
        if full or 14 * width * padding > _CALL_WORK:
            break
        longest, count = most, count + 1
    return count


def _padding(lengths: tuple[int, ...]) -> tuple[Tensor | None, Tensor | None]:
    """(`places`, `bias`) of a block of samples of these lengths."""
    longest = max(lengths)
    if min(lengths) == longest:
        return None, None
    there = torch.arange(longest) < torch.tensor(lengths)[:, None]  # [count, length]
    return there.flatten().nonzero().flatten(), torch.zeros(there.shape).masked_fill(~there, -torch.inf)[:, None, None]


class _NativeAttention(torch.autograd.Function):
    """Keeps no weights: the backward pass computes them once more."""

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, cu_seqlens: Tensor, heads: int, draws: Draws, native: Library) -> Tensor:
        qkv = qkv.contiguous()
        mixed, sums = native.attention(qkv, cu_seqlens, heads, draws)
        ctx.save_for_backward(qkv, cu_seqlens, mixed, sums)
        ctx.draws, ctx.native = draws, native
        return mixed

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None, None]:
        qkv, cu_seqlens, mixed, sums = ctx.saved_tensors
        grads = ctx.native.attention_backward(qkv, cu_seqlens, ctx.draws, mixed, sums, grad.contiguous())
        return grads, None, None, None, None


class _BlockAttention(torch.autograd.Function):
    """softmax(q kᵀ) v of each block, with dropout of the weights.

    Of the weights one tensor is kept for the backward pass: half of each, negative if it was dropped.
    """

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, plan: tuple[Block, ...], heads: int, dropout: float) -> Tensor:
        ctx.plan, ctx.heads, ctx.dropout = plan, heads, dropout
        out = qkv.new_empty(len(qkv), qkv.shape[1] // 3)
        kept: list[Tensor] = []
        with torch.autocast("cpu", enabled=False):
            for block in plan:
                query, key, value = block.padded(qkv, 3, heads)
                weights = torch.softmax(_scores(block, query, key), -1)
                mixed, signed = _mix(weights, value, dropout)
                block.put(out, [mixed], heads)
                kept += [query, key, value, mixed, signed]
        ctx.save_for_backward(*kept)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        grads = grad.new_empty(len(grad), 3 * grad.shape[1])
        saved = ctx.saved_tensors
        kept = (saved[part::5] for part in range(5))
        for block, query, key, value, mixed, signed in zip(ctx.plan, *kept, strict=True):
            (to_mixed,) = block.padded(grad, 1, ctx.heads)
            scale = query.shape[-1] ** -0.5
            to_scores, to_value = _weight_grads(value, signed, mixed, to_mixed, scale, ctx.dropout)
            block.put(grads, [torch.bmm(to_scores, key), torch.bmm(to_scores.mT, query), to_value], ctx.heads)
        return grads, None, None, None


def _scores(block: Block, query: Tensor, key: Tensor) -> Tensor:
    """[N, S, S], scaled, -inf at padding."""
    scale = query.shape[-1] ** -0.5
    shape = (len(query), block.length, block.length)
    if block.bias is None:
        return torch.baddbmm(query.new_empty(1).expand(shape), query, key.mT, beta=0, alpha=scale)
    heads = len(query) // block.count
    bias = block.bias.to(query.dtype).expand(-1, heads, block.length, -1).reshape(shape)
    return torch.baddbmm(bias, query, key.mT, alpha=scale)


def _mix(weights: Tensor, value: Tensor, dropout: float) -> tuple[Tensor, Tensor]:
    """(the mixture, what is kept of the weights)."""
    if not dropout:
        return torch.bmm(weights, value), weights
    left = weights * keep_mask(weights, dropout)
    mixed = torch.bmm(left, value).div_(1 - dropped_share(dropout))
    return mixed, left.sub_(weights, alpha=0.5)


def _weight_grads(
    value: Tensor, signed: Tensor, mixed: Tensor, to_mixed: Tensor, scale: float, dropout: float
) -> tuple[Tensor, Tensor]:
    """The gradients of query · key (unscaled) and of the value.

    The sum over a row of softmax's backward pass is that of the mixture times its gradient: over channels, not tokens.
    """
    if not dropout:
        to_weights = torch.bmm(to_mixed, value.mT)
        to_scores = torch.ops.aten._softmax_backward_data(to_weights, signed, -1, signed.dtype)
        return to_scores.mul_(scale), torch.bmm(signed.mT, to_mixed)
    doubled = to_mixed * (2 / (1 - dropped_share(dropout)))  # `left` below is half the weights
    left = signed.clamp_min(0)
    to_value = torch.bmm(left.mT, doubled)
    rows = (mixed * to_mixed).sum(-1, keepdim=True).mul_(scale)
    to_weights = torch.bmm(doubled.mul_(scale), value.mT).mul_(left)
    return to_weights.addcmul_(signed.abs(), rows, value=-2), to_value
