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
_X = (ctypes.c_void_p, *[ctypes.c_int64] * 4)  # its data, then T, K, N and the parts
_CONSTANT = native_library.Function((), ctypes.c_int32)
_FUNCTIONS = {
    **dict.fromkeys(("runs_here", "panel_tokens", "outputs_together", "chunk_outputs"), _CONSTANT),
    "sut_sparse_product": native_library.Function(
        (*_X, *[ctypes.c_void_p] * 6, ctypes.c_int32, native.ActivationStruct)
    ),
}


class SparseLayout(NamedTuple):
    """A weight as the product reads it: `SparseWeights` of sparse_product.h."""

    blocks: Tensor  # int32 [blocks, 2], place of the inputs and weight
    starts: Tensor  # int64 [chunks, parts]
    steps: Tensor  # int32 [chunks, parts, outputs of a chunk / outputs together]
    places: Tensor  # int32 [chunks, parts, outputs of a chunk]


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
        counts = np.count_nonzero(cut, 3)
        places = np.argsort(counts, 2, kind="stable")
        steps = np.take_along_axis(counts, places, 2).reshape(chunks, parts, -1, together).max(3)
        ends = np.cumsum(steps * together).reshape(steps.shape)
        first = ends - steps * together  # of each `together` outputs
        at = _where(cut, counts, np.argsort(places, 2), first, together)
        laid = np.zeros((int(ends.flat[-1]), 2), np.int32)
        segment, part, output, row = cut.nonzero()
        laid[at, 0] = (part * rows + row) * (tokens * BLOCK)
        laid[at, 1] = cut[segment, part, output, row]
        shaped = (steps.astype(np.int32), places.astype(np.int32))
        return SparseLayout(*map(torch.from_numpy, (laid, np.ascontiguousarray(first[:, :, 0]), *shaped)))

    def __call__(self, x: Tensor, weights: SparseWeights, gelu: bool, to: Activation) -> None:
        """`to` [T, N] = x · weightᵀ * scale + offset, then GELU (to 2e-4) if asked; x: uint8 [T, K], contiguous."""
        layout, *factors = weights
        pointers = [tensor.data_ptr() for tensor in (*layout, *factors)]
        sizes = *x.shape, len(weights.scale), layout.starts.shape[1]
        self._library.sut_sparse_product(x.data_ptr(), *sizes, *pointers, gelu, native.activation_struct(to))


def as_blocks(weight: npt.NDArray[np.int8]) -> npt.NDArray[np.int32]:
    """int8 [N, K] → [N, K / 4] words of four inputs; K is filled up with zeros."""
    outputs, inputs = weight.shape
    padded = np.zeros((outputs, -(-inputs // BLOCK) * BLOCK), np.int8)
    padded[:, :inputs] = weight
    return padded.view(np.int32)


def _part_rows(blocks: npt.NDArray[np.int32], tokens: int) -> int:
    """Rows of a panel that a part has: as many as the cache holds, and more where outputs have few blocks."""
    cached = _PANEL_BYTES // (tokens * BLOCK)
    for_blocks = _LEAST_BLOCKS * blocks.size // max(int(np.count_nonzero(blocks)), 1)
    return max(1, min(max(cached, for_blocks), int(blocks.shape[1])))


def _where(cut: npt.NDArray[np.int32], counts: Int64, ranks: Int64, first: Int64, together: int) -> Int64:
    """The index of each block that is not zero, in the order of `cut.nonzero()`."""
    begin = np.take_along_axis(first, ranks // together, 2) + ranks % together  # of each output's blocks
    flat = counts.ravel()
    number = np.arange(flat.sum()) - np.repeat(np.cumsum(flat) - flat, flat)  # of a block among its output's
    found: Int64 = np.repeat(begin.ravel(), flat) + number * together
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
