"""Rounds a weight to int8 so that the errors of its inputs compensate each other (GPTQ, arXiv:2210.17323).

Rounding to nearest keeps each weight's error least, and not the output's. Here the weights of one input are rounded
after those of another, and what a rounding does to the output is taken up by the inputs that are still to be rounded,
as far as samples show them to vary together. The inputs with the largest magnitudes come first.

Wide layers are divided in groups of inputs that take up nothing from each other: a group needs about as many samples as
it has inputs, and its cost grows with the third power.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from backends.quantization.bounded_groups import Room
from foundation.arrays import Float32, Int64

_DAMPING = 0.05  # of the mean squared input, added to each input's: samples are few, and an input may always be 0
_GROUP = 2048  # inputs of a group at most
_BLOCK = 64  # inputs between two updates of all that follow


def compensated(weight: Float32, scale: Float32, inputs: Float32, bounded: bool = False) -> npt.NDArray[np.int8]:
    """The steps of each weight, int8 [N, K], -127 to 127.

    Args:
        weight: float32 [N, K].
        scale: of a step, float32 [N].
        inputs: samples of what the weight is multiplied by, float32 [R, K].
        bounded: whether groups of steps are to be (`bounded_groups`).
    """
    steps = np.empty(weight.shape, np.int8)
    room = Room(*weight.shape[::-1]) if bounded else None
    for group in _groups(inputs):
        left = np.ascontiguousarray((weight[:, group] / scale[:, None]).T)  # [G, N], in steps
        steps[:, group] = _round(left, _factor(inputs[:, group]), group, room).T
    return steps


def _groups(inputs: Float32) -> list[Int64]:
    """The indices of each group's inputs, the largest first; the groups are alike."""
    order = np.argsort(-np.square(inputs).sum(0), kind="stable")
    count = -(-len(order) // _GROUP)
    return [order[first::count] for first in range(count)]


def _round(left: Float32, factor: Float32, inputs: Int64, room: Room | None) -> npt.NDArray[Any]:
    """The steps of the weights [G, N] of these inputs; `left` is what is still to be rounded, with errors taken up.

    A weight of 0 stays one: pruned models have products that skip them.
    """
    steps, kept = np.empty_like(left), left != 0
    for start in range(0, len(left), _BLOCK):
        stop = min(start + _BLOCK, len(left))
        errors = np.empty((stop - start, left.shape[1]), np.float32)  # in units of the factor's rows
        for row in range(start, stop):
            rounded = np.clip(np.rint(left[row]), -127, 127) * kept[row]
            steps[row] = room.taken(inputs[row], rounded) if room else rounded
            errors[row - start] = (left[row] - steps[row]) / factor[row, row]
            left[row:stop] -= np.outer(factor[row, row:stop], errors[row - start])
        left[stop:] -= factor[start:stop, stop:].T @ errors
    return steps


def _factor(inputs: Float32) -> Float32:
    """The upper triangular U [G, G] with UᵀU the inverse of the inputs' damped products."""
    products = (inputs.T @ inputs).astype(np.float64)
    products[np.diag_indices_from(products)] += max(_DAMPING * float(np.trace(products)) / len(products), 1e-12)
    return np.linalg.cholesky(np.linalg.inv(products)).T.astype(np.float32)
