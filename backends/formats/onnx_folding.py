"""The operators of an ONNX graph that are computed while its weights are read: a transposed or rounded weight is one.

Each takes (node, *constant inputs) and returns the output. `result_size` says beforehand how large that will be.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class OnnxNode:
    """One operator, with the names of its input and output tensors."""

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]


def result_size(node: OnnxNode, values: Sequence[Array]) -> int:
    """Elements of the output. Raises ValueError for shapes that do not fit each other."""
    if node.op in ("Mul", "Div"):
        return math.prod(np.broadcast_shapes(*(value.shape for value in values)))
    return sum(value.size for value in values)


def _cast(node: OnnxNode, x: Array) -> Array:
    from onnx import helper

    to: np.dtype[Any] = helper.tensor_dtype_to_np_dtype(node.attributes["to"])
    return x.astype(to)


def _unsqueeze(node: OnnxNode, x: Array, axes: Array | None = None) -> Array:
    return np.expand_dims(x, tuple(node.attributes["axes"] if axes is None else axes.tolist()))


def _along(node: OnnxNode, x: Array, values: Array) -> Array:
    """Scales or zero points reshaped to broadcast with x: a scalar, or one value for each index of an axis."""
    if values.size == 1:
        return values.reshape(())
    shape = [1] * x.ndim
    shape[node.attributes.get("axis", 1)] = -1
    return values.reshape(shape)


def _quantize(node: OnnxNode, x: Array, scale: Array, zero_point: Array | None = None) -> Array:
    zero = np.zeros((), np.uint8) if zero_point is None else zero_point
    limits = np.iinfo(zero.dtype)
    steps = np.rint(x / _along(node, x, scale)) + _along(node, x, zero)
    rounded: Array = np.clip(steps, limits.min, limits.max).astype(zero.dtype)
    return rounded


def _dequantize(node: OnnxNode, x: Array, scale: Array, zero_point: Array | None = None) -> Array:
    zero = 0 if zero_point is None else _along(node, x, zero_point).astype(np.int32)
    steps: Array = x.astype(np.int32) - zero
    return np.asarray(steps * _along(node, x, scale), np.float32)


# Operators that can be folded: (node, *constant inputs) → the output.
FOLDED: dict[str, Callable[..., Array | None]] = {
    "Identity": lambda _, x: x,
    "Cast": _cast,
    "Transpose": lambda node, x: x.transpose(node.attributes.get("perm")),
    "Unsqueeze": _unsqueeze,
    "Concat": lambda node, *parts: np.concatenate(parts, node.attributes["axis"]),
    "Mul": lambda _, x, y: x * y,
    "Div": lambda _, x, y: x / y,
    "Sqrt": lambda _, x: np.sqrt(x),
    "QuantizeLinear": _quantize,
    "DequantizeLinear": _dequantize,
}
