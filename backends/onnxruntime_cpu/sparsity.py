"""How sparse a user's ONNX graph is: the share of zeros among its weights.

Pruned models are published with their zeros in place, and neither ONNX Runtime nor OpenVINO is told to skip them: the
share is reported beside the speed, so that nobody takes one for the reason of the other. A quantized weight is zero
where it equals its zero point.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

# Operator → its inputs that hold a quantized tensor, each with the input that holds the zero point.
_ZERO_POINTS = {
    "DequantizeLinear": {0: 2},
    "MatMulInteger": {1: 3},
    "MatMulIntegerToFloat": {1: 5},
    "DynamicQuantizeMatMul": {1: 3},
    "QLinearMatMul": {3: 5},
    "ConvInteger": {1: 3},
}


def share(path: Path) -> float | None:
    """Zeros among all weights of two dimensions or more; None where the file has none, or is not an ONNX graph."""
    try:
        graph = onnx.load(path).graph
        arrays = {one.name: one for one in graph.initializer if len(one.dims) > 1}
        points = _zero_points(graph)
        counts = [_count(one, points.get(name, 0), path.parent) for name, one in arrays.items()]
    except Exception:  # noqa: BLE001 - whatever is wrong with the file, the engine says it in its own words
        return None
    weights = sum(size for _, size in counts)
    return sum(zeros for zeros, _ in counts) / weights if weights else None


def _zero_points(graph: Any) -> dict[str, Any]:
    """Name of a quantized weight → its zero point, a scalar or one for each channel."""
    values = {one.name: one for one in graph.initializer if len(one.dims) <= 1}
    found: dict[str, Any] = {}
    for node in graph.node:
        for weight, point in _ZERO_POINTS.get(node.op_type, {}).items():
            name = node.input[point] if point < len(node.input) else ""
            if name in values:
                found[node.input[weight]] = numpy_helper.to_array(values[name])
    return found


def _count(weight: Any, zero_point: Any, folder: Path) -> tuple[int, int]:
    """(zeros, all). Zero points that differ between channels are not told apart: the first stands for all."""
    array = numpy_helper.to_array(weight, str(folder))
    return int((array == np.ravel(zero_point)[0]).sum()), array.size
