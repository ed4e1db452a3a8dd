"""Attention over packed samples: a sample attends to its own tokens only, without padding, and no score reaches memory.

A program computes a block of queries of one head of one sample and walks over the sample's keys with a running maximum
and sum (the online softmax of FlashAttention, arXiv:2205.14135). The grid covers the longest sample; programs beyond
the end of a shorter one return at once. Or a program computes a whole head of a sample, with its keys and values in
shared memory for all queries: fewer bytes from the L2 cache, but fewer programs. The result is written in the encoding
of the next product.
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
    """How attention is cut into programs: queries and keys of a block, or whole heads."""

    queries: int = 64
    keys: int = 64
    most_blocks: int = 0  # of a whole head; 0: a program computes one block of queries
    group: int = 3  # blocks of keys with one softmax, where heads are whole
    registers: int | None = None  # of a thread, at most
    stages: int = 2

    @property
    def warps(self) -> int:
        """A warp has 16 queries: 4 of them feed one of Hopper's matrix instructions."""
        return self.queries // 16


FORMS: dict[str, Form] = {
    "64x64": Form(),
    "64x128": Form(keys=128),
    "128x64": Form(queries=128),
    "head of 192": Form(most_blocks=3, registers=168),
    "head of 256": Form(most_blocks=4, group=2, registers=168),
    "head of 384": Form(most_blocks=6, group=2, stages=1),
}
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
    width, samples, cut = to.shape[1], len(cu_seqlens) - 1, FORMS[form]
    size = width // heads
    shape = {"width": width, "size": size, "block": max(16, triton.next_power_of_2(size)), "num_warps": cut.warps}
    shape |= {"num_stages": cut.stages, "maxnreg": cut.registers} | dependents.options()
    operands = qkv, cu_seqlens, encoding.multiplier, to, _LOG2_E / math.sqrt(size), float(encoding.zero_point)
    if cut.most_blocks:
        assert longest <= cut.most_blocks * cut.keys
        _whole_heads[(heads, samples)](*operands, keys=cut.keys, most_blocks=cut.most_blocks, group=cut.group, **shape)
    else:
        grid = (triton.cdiv(longest, cut.queries), heads, samples)
        _attention[grid](*operands, queries=cut.queries, keys=cut.keys, **shape)


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


@triton.jit
def _whole_heads(
    qkv, cu_seqlens, multiplier, to, scale, zero_point, width: tl.constexpr, size: tl.constexpr,
    block: tl.constexpr, keys: tl.constexpr, most_blocks: tl.constexpr, group: tl.constexpr,
    dependent: tl.constexpr,
):  # fmt: skip
    """One program per head and sample: its keys and values stay in shared memory for all blocks of queries."""
    dependents.wait(dependent)
    first = tl.load(cu_seqlens + tl.program_id(1)).to(tl.int64)
    length = (tl.load(cu_seqlens + tl.program_id(1) + 1) - first).to(tl.int32)
    head = tl.program_id(0) * size
    sample = qkv + first * 3 * width + head
    columns = tl.arange(0, block)
    factors = None
    if multiplier is not None:
        factors = tl.load(multiplier + head + columns, columns < size, 0.0)[None, :]
    for blocks in tl.static_range(1, most_blocks + 1):
        if tl.cdiv(length, keys) == blocks:
            _whole_head(
                sample, to + first * width + head, length, factors, zero_point, scale, width, size, block, keys,
                blocks, group,
            )  # fmt: skip


@triton.jit
def _whole_head(
    sample, to, length, factors, zero_point, scale, width: tl.constexpr, size: tl.constexpr, block: tl.constexpr,
    count: tl.constexpr, blocks: tl.constexpr, group: tl.constexpr,
):  # fmt: skip
    """A head of a sample of `blocks` blocks of `count` tokens, the last one cut."""
    keys = _blocks_of(sample + width, length, width, size, count, block, blocks)
    values = _blocks_of(sample + 2 * width, length, width, size, count, block, blocks)
    rows, columns = tl.arange(0, count), tl.arange(0, block)
    for begin in tl.range(0, length, count):
        query = _rows(sample, begin, length, width, size, count, block, True)
        most = tl.full([count], float("-inf"), tl.float32)
        total = tl.zeros([count], tl.float32)
        mixed = tl.zeros([count, block], tl.float32)
        for start in tl.static_range(0, blocks, group):
            most, total, mixed = _attended_group(
                query, keys, values, most, total, mixed, length, scale, count, start, min(start + group, blocks), blocks
            )
        to_at = to + (begin + rows)[:, None] * width + columns[None, :]
        written = (begin + rows < length)[:, None] & (columns < size)[None, :]
        tl.store(to_at, rounded(mixed * (1.0 / total)[:, None], factors, zero_point, to.dtype.element_ty), written)


@triton.jit
def _attended_group(
    query, keys, values, most, total, mixed, length, scale,
    count: tl.constexpr, start: tl.constexpr, end: tl.constexpr, blocks: tl.constexpr,
):  # fmt: skip
    """As `_attended`, after the blocks of keys from `start` to `end` at once: one maximum and one sum for all."""
    scores = _none()
    for at in tl.static_range(start, end):
        of_block = dot(query, tl.trans(keys[at]), tl.zeros([count, count], tl.float32))
        if at == blocks - 1:
            of_block = tl.where((at * count + tl.arange(0, count) < length)[None, :], of_block, float("-inf"))
        scores = scores + (of_block,)  # noqa: RUF005 - as above
    largest = scores[0]
    for at in tl.static_range(start + 1, end):
        largest = tl.maximum(largest, scores[at - start])
    higher = tl.maximum(most, tl.max(largest, 1))
    if start > 0:
        shrink = tl.exp2((most - higher) * scale)
        total, mixed = total * shrink, mixed * shrink[:, None]
    summed = tl.zeros([count, count], tl.float32)
    for at in tl.static_range(start, end):
        weights = tl.exp2(scores[at - start] * scale - (higher * scale)[:, None])
        summed += weights
        mixed = dot(weights.to(query.dtype), values[at], mixed)
    return higher, total + tl.sum(summed, 1), mixed


@triton.jit
def _blocks_of(
    sample, length, width: tl.constexpr, size: tl.constexpr, count: tl.constexpr, block: tl.constexpr,
    blocks: tl.constexpr,
):  # fmt: skip
    """A tuple of `blocks` of `_rows`, which are all of a sample."""
    found = _none()
    for at in tl.static_range(blocks):
        rows = _rows(sample, at * count, length, width, size, count, block, at == blocks - 1)
        found = found + (rows,)  # noqa: RUF005 - Triton has no starred expressions
    return found


@triton.jit
def _none():
    """A tuple of blocks before the first."""
    return ()
