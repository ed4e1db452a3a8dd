"""Weights that x86 without VNNI multiplies with bytes fastest: four products of a group are added in 16 bits.

`vpmaddubsw` multiplies unsigned bytes by signed ones and adds two products in 16 bits, where they saturate beyond
32,767. In a bounded weight the positive steps of a group sum to 128 at most, and so do the negative ones. Of any bytes,
up to 255, its products then sum to 32,640 at most: nothing saturates, and two results of the instruction can be added
before they are widened. A group is inputs 0, 1, 4 and 5, or 2, 3, 6 and 7, of eight neighbours, of one output.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from foundation.arrays import Float32, Int64

MOST = 128  # steps of one sign in a group
INPUTS = 4  # of a group
_EIGHT = 8  # neighbours that make two
_ROUNDED_UP = INPUTS / 2  # by which rounding its inputs to nearest adds to a sum of steps at most


def of_inputs(count: int) -> Int64:
    """The group of each of `count` inputs."""
    inputs = np.arange(count)
    return inputs // _EIGHT * 2 + inputs % 4 // 2


def is_bounded(weight: npt.NDArray[np.int8]) -> bool:
    """True if all groups of int8 [N, K] are."""
    bits: npt.NDArray[np.uint8] = np.minimum(weight, 0).view(np.uint8)
    signs = np.maximum(weight, 0).view(np.uint8), np.negative(bits)  # of -128, too, the magnitude
    return all(int(_sums(one, np.uint16).max()) <= MOST for one in signs)


def least_scale(weight: Float32) -> Float32:
    """A scale of a step, float32 [N], with which [N, K] is sure to be bounded, rounded to nearest; all are 127 at most.

    It is the smallest for which that follows from the groups' sums.
    """
    signs = (_sums(np.maximum(one, 0), np.float32).max(1) for one in (weight, -weight))
    found: Float32 = np.maximum(*signs) / np.float32(MOST - _ROUNDED_UP)
    return found


def _sums(magnitudes: npt.NDArray[Any], dtype: type[np.generic]) -> npt.NDArray[Any]:
    """Of each group of [N, K], [N, K / 4], in `dtype`."""
    padded = np.pad(magnitudes, ((0, 0), (0, -magnitudes.shape[1] % _EIGHT)))
    pairs = np.add(padded[:, 0::2], padded[:, 1::2], dtype=dtype).reshape(len(padded), -1, 2, 2)
    sums: npt.NDArray[Any] = pairs[:, :, 0] + pairs[:, :, 1]
    return sums.reshape(len(padded), -1)


class Room:
    """What is left of each group's bounds while its inputs are rounded one after the other, for N outputs."""

    def __init__(self, inputs: int, outputs: int) -> None:
        self._groups = of_inputs(inputs)
        self._above = np.full((self._groups.max(initial=0) + 1, outputs), MOST, np.float32)
        self._below = self._above.copy()

    def taken(self, at: int, steps: Float32) -> Float32:
        """As much of the steps [N] of input `at` as there is room for."""
        above, below = self._above[self._groups[at]], self._below[self._groups[at]]
        found: Float32 = np.clip(steps, -below, above)
        above -= np.maximum(found, 0)
        below -= np.maximum(-found, 0)
        return found
