"""Attention over packed samples: a sample attends to its own tokens only, without padding, and no score reaches memory.

A program computes a block of queries of one head of one sample and walks over the sample's keys with a running maximum
and sum (the online softmax of FlashAttention, arXiv:2205.14135). The grid covers the longest sample; programs beyond
the end of a shorter one return at once. The result is written in the encoding of the next product.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import triton
import triton.language as tl
from torch import Tensor
from torch.nn import functional as F

from backends.gpu.kernels import dependent as dependents
from backends.gpu.kernels.interpreted import dot
from backends.gpu.kernels.rounding import rounded, store
from backends.pytorch_cpu.kernels import Encoding

_LOG2_E = 1 / math.log(2)


class Form(NamedTuple):
    """How attention is cut into programs and steps."""

    queries: int  # of a program
    keys: int  # of a step

    @property
    def warps(self) -> int:
        """A warp has 16 queries: 4 of them feed one of Hopper's matrix instructions."""
        return self.queries // 16


FORMS: dict[str, Form] = {"64x64": Form(64, 64), "64x128": Form(64, 128)}
DEFAULT = "64x64"
SHORT = (DEFAULT, "64x128")  # for a pass of few programs, in which each lasts as long as its walk over the keys


def twin(qkv: Tensor, cu_seqlens: Tensor, longest: int, heads: int, encoding: Encoding, to: Tensor) -> None:
    """softmax(Q Kᵀ / √head_size) V of every sample and head, into `to` [T, H].

    Args:
        qkv: float16 or bfloat16 [T, 3 H]: queries, keys, values.
        cu_seqlens: int32 or int64 [B + 1], on the same device; tokens beyond the last sample are not written, and
            samples may be empty.
        longest: tokens of the longest sample, or more.
    """
    for start, end in zip(cu_seqlens[:-1].tolist(), cu_seqlens[1:].tolist(), strict=True):
        sample = qkv[start:end].float()
        query, key, value = sample.unflatten(1, (3, heads, -1)).permute(1, 2, 0, 3)  # each [heads, L, head]
        store(F.scaled_dot_product_attention(query, key, value).transpose(0, 1).flatten(1), encoding, to[start:end])


def launch(
    qkv: Tensor, cu_seqlens: Tensor, longest: int, heads: int, encoding: Encoding, to: Tensor, form: str = DEFAULT
) -> None:
    """The same as `twin`, through a Triton kernel; `form`, one of FORMS, changes the speed only."""
    width, cut = to.shape[1], FORMS[form]
    size = width // heads
    _attention[(triton.cdiv(longest, cut.queries), heads, len(cu_seqlens) - 1)](
        qkv, cu_seqlens, encoding.multiplier, to, _LOG2_E / math.sqrt(size), float(encoding.zero_point),
        width=width, size=size, queries=cut.queries, keys=cut.keys, block=max(16, triton.next_power_of_2(size)),
        num_warps=cut.warps, num_stages=2, **dependents.options(),
    )  # fmt: skip


@triton.jit
def _attention(
    qkv, cu_seqlens, multiplier, to, scale, zero_point, width: tl.constexpr, size: tl.constexpr,
    queries: tl.constexpr, keys: tl.constexpr, block: tl.constexpr, dependent: tl.constexpr,
):  # fmt: skip
    """One program per block of queries, head and sample. `scale` includes log2(e): softmax is computed with exp2."""
    if dependent and multiplier is not None:
        dependents.ask_for_line(multiplier + tl.program_id(1) * size + tl.arange(0, block) % size)
    dependents.wait(dependent)
    first = tl.load(cu_seqlens + tl.program_id(2)).to(tl.int64)
    length = (tl.load(cu_seqlens + tl.program_id(2) + 1) - first).to(tl.int32)
    begin = tl.program_id(0) * queries
    if begin >= length:
        return
    sample = qkv + first * 3 * width + tl.program_id(1) * size
    query = _rows(sample, begin, length, width, size, queries, block, True)
    most = tl.full([queries], float("-inf"), tl.float32)
    total = tl.zeros([queries], tl.float32)
    mixed = tl.zeros([queries, block], tl.float32)
    whole = length // keys * keys
    for start in range(0, whole, keys):
        most, total, mixed = _attended(
            sample, query, most, total, mixed, start, length, scale, width, size, keys, block, False
        )
    if whole < length:
        most, total, mixed = _attended(
            sample, query, most, total, mixed, whole, length, scale, width, size, keys, block, True
        )
    columns = tl.arange(0, block)
    in_head, head = columns < size, tl.program_id(1) * size + columns
    factors = None
    if multiplier is not None:
        factors = tl.load(multiplier + head, in_head, 0.0)[None, :]
    rows = begin + tl.arange(0, queries)
    to_at = to + (first + rows)[:, None] * width + head[None, :]
    written = (rows < length)[:, None] & in_head[None, :]
    tl.store(to_at, rounded(mixed * (1.0 / total)[:, None], factors, zero_point, to.dtype.element_ty), written)


@triton.jit
def _attended(
    sample, query, most, total, mixed, start, length, scale, width: tl.constexpr, size: tl.constexpr,
    keys: tl.constexpr, block: tl.constexpr, cut: tl.constexpr,
):  # fmt: skip
    """The running maximum, sum and mixed values of each query, after one more block of keys; `cut`: the last one."""
    key = _rows(sample + width, start, length, width, size, keys, block, cut)
    value = _rows(sample + 2 * width, start, length, width, size, keys, block, cut)
    scores = dot(query, tl.trans(key), tl.zeros([query.shape[0], keys], tl.float32))
    if cut:
        scores = tl.where((start + tl.arange(0, keys) < length)[None, :], scores, float("-inf"))
    higher = tl.maximum(most, tl.max(scores, 1))
    weights = tl.exp2(scores * scale - (higher * scale)[:, None])
    shrink = tl.exp2((most - higher) * scale)
    total = total * shrink + tl.sum(weights, 1)
    return higher, total, dot(weights.to(value.dtype), value, mixed * shrink[:, None])


@triton.jit
def _rows(
    sample, start, length, width: tl.constexpr, size: tl.constexpr, count: tl.constexpr, block: tl.constexpr,
    cut: tl.constexpr,
):  # fmt: skip
    """[count, block] of queries, keys or values; zero beyond the head's size and, where `cut`, the sample's end."""
    rows, columns = start + tl.arange(0, count), tl.arange(0, block)
    at = sample + rows[:, None] * 3 * width + columns[None, :]
    if cut:
        return tl.load(at, (rows < length)[:, None] & (columns < size)[None, :], 0.0)
    return tl.load(at) if size == block else tl.load(at, (columns < size)[None, :], 0.0)
