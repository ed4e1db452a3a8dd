"""Attention over packed samples: a sample attends to its own tokens only, without padding, and no score reaches memory.

A program computes a block of queries of one head of one sample and walks over the sample's keys with a running maximum
and sum (the online softmax of FlashAttention, arXiv:2205.14135). The grid covers the longest sample; programs beyond
the end of a shorter one return at once. The result is written in the encoding of the next product.
"""

from __future__ import annotations

import math

import triton
import triton.language as tl
from torch import Tensor
from torch.nn import functional as F

from backends.gpu.kernels.interpreted import dot
from backends.gpu.kernels.rounding import rounded, store
from backends.pytorch_cpu.kernels import Encoding

_LOG2_E = 1 / math.log(2)


def twin(qkv: Tensor, cu_seqlens: Tensor, longest: int, heads: int, encoding: Encoding, to: Tensor) -> None:
    """softmax(Q Kᵀ / √head_size) V of every sample and head, into `to` [T, H].

    Args:
        qkv: float16 or bfloat16 [T, 3 H]: queries, keys, values.
        cu_seqlens: int32 or int64 [B + 1], on the same device; tokens beyond the last sample are not written.
        longest: tokens of the longest sample, or more.
    """
    for start, end in zip(cu_seqlens[:-1].tolist(), cu_seqlens[1:].tolist(), strict=True):
        sample = qkv[start:end].float()
        query, key, value = sample.view(end - start, 3, heads, -1).permute(1, 2, 0, 3)  # each [heads, L, head]
        store(F.scaled_dot_product_attention(query, key, value).transpose(0, 1).flatten(1), encoding, to[start:end])


def launch(qkv: Tensor, cu_seqlens: Tensor, longest: int, heads: int, encoding: Encoding, to: Tensor) -> None:
    """The same as `twin`, through the Triton kernel."""
    width = to.shape[1]
    size = width // heads
    queries, keys = (64, 64) if longest <= 64 else (128, 64)
    grid = (triton.cdiv(longest, queries), heads, len(cu_seqlens) - 1)
    _attention[grid](
        qkv, cu_seqlens, encoding.multiplier, to, _LOG2_E / math.sqrt(size), float(encoding.zero_point), width, size,
        queries=queries, keys=keys, block=max(16, triton.next_power_of_2(size)),
        num_warps=queries // 16, num_stages=2,
    )  # fmt: skip


@triton.jit
def _attention(
    qkv, cu_seqlens, multiplier, to, scale, zero_point, width, size,
    queries: tl.constexpr, keys: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """One program per block of queries, head and sample. `scale` includes log2(e): softmax is computed with exp2."""
    first = tl.load(cu_seqlens + tl.program_id(2)).to(tl.int64)
    length = (tl.load(cu_seqlens + tl.program_id(2) + 1) - first).to(tl.int32)
    begin = tl.program_id(0) * queries
    if begin >= length:
        return
    rows, columns = begin + tl.arange(0, queries), tl.arange(0, block)
    in_head, head = columns < size, tl.program_id(1) * size + columns
    sample = qkv + first * 3 * width
    query_at = sample + rows[:, None] * 3 * width + head[None, :]
    query = tl.load(query_at, (rows < length)[:, None] & in_head[None, :], 0.0)
    most = tl.full([queries], float("-inf"), tl.float32)
    total = tl.zeros([queries], tl.float32)
    nothing = tl.zeros([queries, keys], tl.float32)
    mixed = tl.zeros([queries, block], tl.float32)
    for start in range(0, length, keys):
        others = start + tl.arange(0, keys)
        there = others < length
        inside = there[:, None] & in_head[None, :]
        key_at = sample + others[:, None] * 3 * width + width + head[None, :]
        key, value = tl.load(key_at, inside, 0.0), tl.load(key_at + width, inside, 0.0)
        scores = tl.where(there[None, :], dot(query, tl.trans(key), nothing) * scale, float("-inf"))
        higher = tl.maximum(most, tl.max(scores, 1))
        weights = tl.exp2(scores - higher[:, None])
        shrink = tl.exp2(most - higher)
        total = total * shrink + tl.sum(weights, 1)
        mixed = dot(weights.to(value.dtype), value, mixed * shrink[:, None])
        most = higher
    mixed = mixed / total[:, None]
    factors = None
    if multiplier is not None:
        factors = tl.load(multiplier + head, in_head, 0.0)[None, :]
    to_at = to + (first + rows)[:, None] * width + head[None, :]
    written = (rows < length)[:, None] & in_head[None, :]
    tl.store(to_at, rounded(mixed, factors, zero_point, to.dtype.element_ty), written)
