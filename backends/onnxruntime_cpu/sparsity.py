"""What a user's ONNX graph holds: the types of its weights, and the share of zeros among them.

Pruned models are published with their zeros stored, and neither ONNX Runtime nor OpenVINO skips them as used here. The
share is reported next to the speed so that it is not mistaken for the cause. A quantized weight is zero if it equals
its zero point.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from backends.formats import onnx_file, weight_types
from backends.formats.weight_types import Shares

# Operator → {index of an input with a quantized tensor: index of the input with its zero point}.
_ZERO_POINTS = {
    "DequantizeLinear": {0: 2},
    "MatMulInteger": {1: 3},
    "MatMulIntegerToFloat": {1: 5},
    "DynamicQuantizeMatMul": {1: 3},
    "QLinearMatMul": {3: 5},
    "ConvInteger": {1: 3},
}


@dataclass(frozen=True)
class GraphWeights:
    """The weights of two or more dimensions of a graph."""

    zeros: float | None = None  # their share; None without weights
    types: Shares = field(default_factory=dict)


def measure(path: Path) -> GraphWeights:
    """The weights of the graph in a file; none if it is no ONNX graph."""
    try:
        graph = onnx_file.parse(path).graph
        arrays = {one.name: one for one in graph.initializer if len(one.dims) > 1}
        points = _zero_points(graph, path)
        counts = [_count(onnx_file.array(one, path), points.get(name, 0)) for name, one in arrays.items()]
    except Exception:  # noqa: BLE001 - the engine reports what is wrong with the file when it loads it
        return GraphWeights()
    weights = sum(size for _, size in counts)
    zeros = sum(zeros for zeros, _ in counts) / weights if weights else None
    return GraphWeights(zeros, weight_types.of_graph(graph))


def _zero_points(graph: Any, path: Path) -> dict[str, Any]:
    """Name of each quantized weight → its zero point, a scalar or one per channel."""
    values = {one.name: one for one in graph.initializer if len(one.dims) <= 1}
    found: dict[str, Any] = {}
    for node in graph.node:
        for weight, point in _ZERO_POINTS.get(node.op_type, {}).items():
            name = node.input[point] if point < len(node.input) else ""
            if name in values:
                found[node.input[weight]] = onnx_file.array(values[name], path)
    return found


def _count(array: onnx_file.Array, zero_point: Any) -> tuple[int, int]:
    """(number of zeros, number of elements). Of zero points per channel, the first is used for all."""
    return int((array == np.ravel(zero_point)[0]).sum()), array.size
