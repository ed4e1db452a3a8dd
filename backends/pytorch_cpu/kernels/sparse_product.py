"""The int8 product with a weight of mostly zero blocks, in C++; its layout in NumPy; and its twin.

A block is four neighbouring inputs of one output, which a dot-product instruction multiplies at once, or four
neighbouring outputs of one input, of which four together are. The sums are the dense product's, integer for integer;
its twin is therefore `int8_product.plain`.
"""

from __future__ import annotations

import ctypes
import functools
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from backends.pytorch_cpu.kernels import bounded, native
from backends.pytorch_cpu.kernels.base import Activation
from backends.quantization import bounded_groups
from foundation import native_library
from foundation.arrays import Int64

VARIANTS = ("avx512vnni", "avxvnni", "avx2", "dotprod", "portable")  # fastest first
BLOCK = 4  # inputs, or outputs
_PANEL_BYTES = 32 << 10  # of a part of the inputs, which stays in a first-level cache of 48 KiB
_LEAST_BLOCKS = 16  # of an output in a part, for which loading and storing its sums pays
_MOST_BYTES = 64 << 10  # of a part: places in it have 16 bits
# Outputs that are ordered and stored together: the more, the less filling up with zeros; the fewer, the more threads
# can share few tokens.
_CHUNK, _SHARED_CHUNK = 512, 128
_SPAN = 64  # outputs, of which a chunk is a multiple
# Data, in panels, T, K, N, parts and the rows of each, outputs of a chunk.
_X = (ctypes.c_void_p, ctypes.c_int32, *[ctypes.c_int64] * 6)
_CONSTANT = native_library.Function((), ctypes.c_int32)
_FUNCTIONS = {
    **dict.fromkeys(("runs_here", "outputs_together"), _CONSTANT),
    "panel_tokens": native_library.Function((ctypes.c_int32,), ctypes.c_int32),
    "sut_sparse_product": native_library.Function(
        (*_X, *[ctypes.c_void_p] * 6, *[ctypes.c_int32] * 2, native.ActivationStruct)
    ),
}


class SparseLayout(NamedTuple):
    """A weight as the product reads it: `SparseWeights` of sparse_product.h; a group is outputs computed together."""

    steps: Tensor  # int16 [steps, …], each a group's places of inputs, then their weights
    starts: Tensor  # int64 [chunks, parts]
    counts: Tensor  # int32 [chunks, parts, groups]
    places: Tensor  # int32 [chunks, parts, outputs of a chunk]; where blocks are of outputs, [chunks, parts, groups]
    part_rows: int
    chunk_outputs: int
    of_outputs: bool  # what blocks are


class SparseWeights(NamedTuple):
    """A weight for y = (x · weightᵀ) * scale + offset; `offset`: the bias, minus what the zero point of x adds."""

    layout: SparseLayout
    scale: Tensor  # float32 [N]
    offset: Tensor  # float32 [N]


class SparseProduct:
    """The product of one instruction set; `library` is what setup.py built of sparse_products.cpp."""

    def __init__(self, name: str, library: ctypes.CDLL) -> None:
        self.name, self._library = name, library

    @property
    def of_bounded(self) -> SparseProduct | None:
        """A faster one for blocks of inputs with bounded groups; None if there is none.

        It takes no blocks of outputs, in which inputs meet others than those of their groups.
        """
        return bounded.find(self.name, load)

    def laid_out(self, weight: npt.NDArray[np.int8], of_outputs: bool = False) -> tuple[SparseProduct, SparseLayout]:
        """The faster of these for int8 [N, K], and its layout."""
        faster = None if of_outputs else self.of_bounded
        product = faster if faster and bounded_groups.is_bounded(weight) else self
        return product, product._layout(weight, of_outputs)

    def layout(self, weight: npt.NDArray[np.int8], of_outputs: bool = False) -> SparseLayout:
        """int8 [N, K] as the product reads it, in blocks of inputs or of outputs.

        Raises:
            ValueError: this product takes blocks of inputs with bounded groups alone, and these are not.
        """
        bounded.check(self.name, torch.from_numpy(weight))
        if of_outputs and bounded.is_bounded(self.name):
            raise ValueError(f"expected blocks of inputs for {self.name}, found blocks of outputs.")
        return self._layout(weight, of_outputs)

    def _layout(self, weight: npt.NDArray[np.int8], of_outputs: bool) -> SparseLayout:
        tokens = self._library.panel_tokens(of_outputs)
        chunk = min(_CHUNK if torch.get_num_threads() == 1 else _SHARED_CHUNK, -(-len(weight) // _SPAN) * _SPAN)
        if of_outputs:
            return _of_outputs(weight, tokens, chunk)
        return _of_inputs(weight, tokens * BLOCK, chunk, self._library.outputs_together())

    @property
    def panel_tokens(self) -> int:
        """Tokens of a panel, in which a product with blocks of inputs can read or write bytes."""
        return int(self._library.panel_tokens(False))

    def __call__(self, x: Tensor, weights: SparseWeights, gelu: bool, to: Activation) -> None:
        """`to` [T, N] = x · weightᵀ * scale + offset, then GELU (to 2e-4) if asked.

        x: bytes [T, K], contiguous, or in panels; bytes of `to`, too, may be in panels, where N is a multiple of 64.
        """
        (*tables, part_rows, chunk, of_outputs), *factors = weights
        pointers = [tensor.data_ptr() for tensor in (*tables, *factors)]
        tokens, inputs = rows_of(x), x.numel() // rows_of(x)
        sizes = x.dim() == 4, tokens, inputs, len(weights.scale), weights.layout.starts.shape[1], part_rows, chunk
        self._library.sut_sparse_product(
            x.data_ptr(), *sizes, *pointers, of_outputs, gelu, native.activation_struct(to)
        )


def rows_of(x: Tensor) -> int:
    """Rows of an input, [T, K] or in panels."""
    return x.shape[0] * x.shape[2] if x.dim() == 4 else len(x)


def _of_inputs(weight: npt.NDArray[np.int8], row_bytes: int, chunk: int, together: int) -> SparseLayout:
    cut = _cut(as_blocks(weight), chunk, row_bytes)  # by output
    lengths = np.count_nonzero(cut, 3)
    places = np.argsort(lengths, 2, kind="stable")
    counts = np.take_along_axis(lengths, places, 2).reshape(*cut.shape[:2], -1, together).max(3)
    first = (np.cumsum(counts) - counts.ravel()).reshape(counts.shape)  # of each group's steps
    steps = np.zeros(int(counts.sum()), [("rows", np.uint16, together), ("weights", np.int32, together)])
    ranks = np.argsort(places, 2)
    begin = np.take_along_axis(first, ranks // together, 2)
    at = _repeated(begin, lengths) + _numbers(lengths), _repeated(ranks % together, lengths)
    segment, part, output, row = cut.nonzero()
    steps["rows"][at] = row * row_bytes
    steps["weights"][at] = cut[segment, part, output, row]
    return _layout(
        steps.view(np.int16).reshape(len(steps), 3 * together),
        first,
        counts,
        places,
        cut.shape[3],
        chunk,
        of_outputs=False,
    )


def _of_outputs(weight: npt.NDArray[np.int8], row_bytes: int, chunk: int) -> SparseLayout:
    """A group is four neighbouring outputs, a step four of their inputs, the last ones being filled up with zeros."""
    words = as_blocks(np.ascontiguousarray(weight.T)).T  # of four outputs, [N / 4, K]
    cut = _cut(words, chunk // BLOCK, row_bytes)  # by group
    lengths = np.count_nonzero(cut, 3)
    needed = -(-lengths // BLOCK)
    places = np.argsort(needed, 2, kind="stable")
    counts = np.take_along_axis(needed, places, 2)
    first = (np.cumsum(counts) - counts.ravel()).reshape(counts.shape)
    begin, numbers = np.take_along_axis(first, np.argsort(places, 2), 2), _numbers(lengths)
    at, lane = _repeated(begin, lengths) + numbers // BLOCK, numbers % BLOCK
    steps = np.zeros(int(counts.sum()), [("rows", np.uint16, BLOCK), ("weights", np.int8, (BLOCK, BLOCK))])
    segment, part, group, row = cut.nonzero()
    steps["rows"][at, lane] = row * row_bytes
    steps["weights"][at, :, lane] = cut[segment, part, group, row].view(np.int8).reshape(-1, BLOCK)  # [output, input]
    return _layout(
        steps.view(np.int16).reshape(len(steps), 3 * BLOCK), first, counts, places, cut.shape[3], chunk, of_outputs=True
    )


def _layout(
    steps: npt.NDArray[np.int16],
    first: Int64,
    counts: Int64,
    places: Int64,
    part_rows: int,
    chunk: int,
    *,
    of_outputs: bool,
) -> SparseLayout:
    return SparseLayout(
        steps=torch.from_numpy(steps),
        starts=torch.from_numpy(np.ascontiguousarray(first[:, :, 0])),
        counts=torch.from_numpy(counts.astype(np.int32)),
        places=torch.from_numpy(places.astype(np.int32)),
        part_rows=part_rows,
        chunk_outputs=chunk,
        of_outputs=of_outputs,
    )


def kept(weight: npt.NDArray[np.int8], of_outputs: bool) -> int:
    """The weights of int8 [N, K] in blocks that are not zero."""
    return BLOCK * int(np.count_nonzero(as_blocks(np.ascontiguousarray(weight.T) if of_outputs else weight)))


def as_blocks(weight: npt.NDArray[np.int8]) -> npt.NDArray[np.int32]:
    """int8 [N, K] → [N, K / 4] words of four inputs; K is filled up with zeros."""
    outputs, inputs = weight.shape
    padded = np.zeros((outputs, -(-inputs // BLOCK) * BLOCK), np.int8)
    padded[:, :inputs] = weight
    return padded.view(np.int32)


def _cut(blocks: npt.NDArray[np.int32], chunk: int, row_bytes: int) -> npt.NDArray[np.int32]:
    """Blocks [n, rows of a panel] as [chunks, parts, n of a chunk, rows of a part]."""
    rows = _part_rows(blocks, row_bytes)
    chunks, parts = -(-blocks.shape[0] // chunk), -(-blocks.shape[1] // rows)
    padded = np.zeros((chunks * chunk, parts * rows), np.int32)
    padded[: blocks.shape[0], : blocks.shape[1]] = blocks
    return padded.reshape(chunks, chunk, parts, rows).transpose(0, 2, 1, 3)


def _part_rows(blocks: npt.NDArray[np.int32], row_bytes: int) -> int:
    """Rows of a panel that a part has: as many as the cache holds, and more where outputs have few blocks."""
    cached, most = _PANEL_BYTES // row_bytes, _MOST_BYTES // row_bytes
    for_blocks = _LEAST_BLOCKS * blocks.size // max(int(np.count_nonzero(blocks)), 1)
    return max(1, min(max(cached, for_blocks), most, int(blocks.shape[1])))


def _repeated(values: Int64, lengths: Int64) -> Int64:
    """Of each output or group, for each of its blocks."""
    found: Int64 = np.repeat(values.ravel(), lengths.ravel())
    return found


def _numbers(lengths: Int64) -> Int64:
    """0, 1, … for the blocks of each output or group."""
    flat = lengths.ravel()
    found: Int64 = np.arange(flat.sum()) - np.repeat(np.cumsum(flat) - flat, flat)
    return found


@functools.cache
def find() -> SparseProduct | None:
    """The fastest variant that was built and runs on this machine; None if there is none."""
    return next(filter(None, map(load, VARIANTS)), None)


@functools.cache
def load(variant: str) -> SparseProduct | None:
    """The product of one instruction set; None if it was not built, is broken, or does not run on this machine."""
    module = f"backends.pytorch_cpu.kernels._sparse_{variant}"
    library = native_library.load(module, _FUNCTIONS)
    return None if library is None else SparseProduct(variant, library)
