"""The int8 product with a weight of mostly zero blocks, in C++; its layout in NumPy; and its twin.

A block is four neighbouring inputs of one output, which a dot-product instruction multiplies at once. The sums are the
dense product's, integer for integer; its twin is therefore `int8_product.plain`.
"""

from __future__ import annotations

import ctypes
import functools
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from backends.pytorch_cpu.kernels import native
from backends.pytorch_cpu.kernels.base import Activation
from foundation import native_library
from foundation.arrays import Int64

VARIANTS = ("avx512vnni", "avxvnni", "portable")  # fastest first
BLOCK = 4  # inputs
_PANEL_BYTES = 32 << 10  # of a part of the inputs, which stays in a first-level cache of 48 KiB
_LEAST_BLOCKS = 16  # of an output in a part, for which loading and storing its sums pays
_MOST_BYTES = 64 << 10  # of a part: places in it have 16 bits
_X = (ctypes.c_void_p, *[ctypes.c_int64] * 5)  # its data, then T, K, N, the parts and the rows of each
_CONSTANT = native_library.Function((), ctypes.c_int32)
_FUNCTIONS = {
    **dict.fromkeys(("runs_here", "panel_tokens", "outputs_together", "chunk_outputs"), _CONSTANT),
    "sut_sparse_product": native_library.Function(
        (*_X, *[ctypes.c_void_p] * 6, ctypes.c_int32, native.ActivationStruct)
    ),
}


class SparseLayout(NamedTuple):
    """A weight as the product reads it: `SparseWeights` of sparse_product.h."""

    steps: Tensor  # int16 [steps, 3 * outputs together], a block of each: places of their inputs, then weights
    starts: Tensor  # int64 [chunks, parts]
    counts: Tensor  # int32 [chunks, parts, outputs of a chunk / outputs together]
    places: Tensor  # int32 [chunks, parts, outputs of a chunk]
    part_rows: int


class SparseWeights(NamedTuple):
    """A weight for y = (x · weightᵀ) * scale + offset; `offset`: the bias, minus what the zero point of x adds."""

    layout: SparseLayout
    scale: Tensor  # float32 [N]
    offset: Tensor  # float32 [N]


class SparseProduct:
    """The product of one instruction set; `library` is what setup.py built of sparse_products.cpp."""

    def __init__(self, name: str, library: ctypes.CDLL) -> None:
        self.name, self._library = name, library

    def layout(self, weight: npt.NDArray[np.int8]) -> SparseLayout:
        """int8 [N, K] as the product reads it."""
        tokens, together = self._library.panel_tokens(), self._library.outputs_together()
        chunk = self._library.chunk_outputs()
        blocks = as_blocks(weight)
        rows = _part_rows(blocks, tokens)
        chunks, parts = -(-blocks.shape[0] // chunk), -(-blocks.shape[1] // rows)
        padded = np.zeros((chunks * chunk, parts * rows), np.int32)
        padded[: blocks.shape[0], : blocks.shape[1]] = blocks
        cut = padded.reshape(chunks, chunk, parts, rows).transpose(0, 2, 1, 3)  # [chunks, parts, outputs, rows]
        lengths = np.count_nonzero(cut, 3)
        places = np.argsort(lengths, 2, kind="stable")
        counts = np.take_along_axis(lengths, places, 2).reshape(chunks, parts, -1, together).max(3)
        ends = np.cumsum(counts).reshape(counts.shape)
        first = ends - counts  # of each `together` outputs
        steps = np.zeros(int(ends.flat[-1]), [("rows", np.uint16, together), ("weights", np.int32, together)])
        at = _where(lengths, np.argsort(places, 2), first, together)
        segment, part, output, row = cut.nonzero()
        steps["rows"][at] = row * (tokens * BLOCK)
        steps["weights"][at] = cut[segment, part, output, row]
        return SparseLayout(
            steps=torch.from_numpy(steps.view(np.int16).reshape(len(steps), 3 * together)),
            starts=torch.from_numpy(np.ascontiguousarray(first[:, :, 0])),
            counts=torch.from_numpy(counts.astype(np.int32)),
            places=torch.from_numpy(places.astype(np.int32)),
            part_rows=rows,
        )

    def __call__(self, x: Tensor, weights: SparseWeights, gelu: bool, to: Activation) -> None:
        """`to` [T, N] = x · weightᵀ * scale + offset, then GELU (to 2e-4) if asked; x: uint8 [T, K], contiguous."""
        (*tables, part_rows), *factors = weights
        pointers = [tensor.data_ptr() for tensor in (*tables, *factors)]
        sizes = *x.shape, len(weights.scale), weights.layout.starts.shape[1], part_rows
        self._library.sut_sparse_product(x.data_ptr(), *sizes, *pointers, gelu, native.activation_struct(to))


def as_blocks(weight: npt.NDArray[np.int8]) -> npt.NDArray[np.int32]:
    """int8 [N, K] → [N, K / 4] words of four inputs; K is filled up with zeros."""
    outputs, inputs = weight.shape
    padded = np.zeros((outputs, -(-inputs // BLOCK) * BLOCK), np.int8)
    padded[:, :inputs] = weight
    return padded.view(np.int32)


def _part_rows(blocks: npt.NDArray[np.int32], tokens: int) -> int:
    """Rows of a panel that a part has: as many as the cache holds, and more where outputs have few blocks."""
    cached, most = _PANEL_BYTES // (tokens * BLOCK), _MOST_BYTES // (tokens * BLOCK)
    for_blocks = _LEAST_BLOCKS * blocks.size // max(int(np.count_nonzero(blocks)), 1)
    return max(1, min(max(cached, for_blocks), most, int(blocks.shape[1])))


def _where(lengths: Int64, ranks: Int64, first: Int64, together: int) -> tuple[Int64, Int64]:
    """The step and the place in it of each block that is not zero, in the order of `cut.nonzero()`."""
    flat = lengths.ravel()
    number = np.arange(flat.sum()) - np.repeat(np.cumsum(flat) - flat, flat)  # of a block among its output's
    step = np.repeat(np.take_along_axis(first, ranks // together, 2).ravel(), flat) + number
    return step, np.repeat((ranks % together).ravel(), flat)


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
