"""Recognizes linear layers and LayerNorms in an ONNX graph by what their nodes compute, whatever their names."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from backends.errors import BackendError
from backends.formats.base import QatRange
from backends.formats.onnx_file import Array
from backends.formats.onnx_folding import OnnxNode
from backends.formats.onnx_graph_walk import OnnxGraph, is_hollow
from foundation.arrays import Float32

# Operators that move or quantize values without computing with them.
LAYOUT = {"Identity", "Cast", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Dropout"}
ROUNDING = {"QuantizeLinear", "DequantizeLinear"}


@dataclass(frozen=True)
class GraphLinear:
    """y = x Wᵀ + b; it has a range if both x and W are quantized."""

    weight: Array  # [N, K]
    bias: Array  # [N]
    source: str  # name of x
    product: str  # name of x Wᵀ
    range: QatRange | None


@dataclass(frozen=True)
class GraphNorm:
    """A LayerNorm; `source` is the name of its input."""

    weight: Array  # [H]
    bias: Array  # [H]
    epsilon: float
    source: str


def through(graph: OnnxGraph, name: str, operators: set[str] = LAYOUT | ROUNDING) -> str:
    """The tensor that `name` was before changes of layout and quantization."""
    while (node := graph.node(name)) is not None and node.op in operators and graph.constant(name) is None:
        name = node.inputs[0]
    return name


def linear(graph: OnnxGraph, name: str) -> GraphLinear | None:
    """The linear layer with the output `name`, or None."""
    name = through(graph, name)
    node = graph.node(name)
    if node is None:
        return None
    if node.op == "Gemm":
        plain = (node.attributes.get("alpha", 1.0), node.attributes.get("beta", 1.0), node.attributes.get("transA", 0))
        if len(node.inputs) < 3 or plain != (1, 1, 0):
            return None
        weight, bias = (graph.constant(one) for one in node.inputs[1:3])
        flipped = bool(node.attributes.get("transB"))
        return None if weight is None or bias is None else _linear(graph, node, name, weight, bias, flipped)
    split = constant_and_other(graph, node) if node.op == "Add" else None
    if split is None or split[0].ndim != 1:
        return None
    product = through(graph, split[1])
    inner = graph.node(product)
    if inner is None or inner.op != "MatMul" or (weight := graph.constant(inner.inputs[1])) is None:
        return None
    return _linear(graph, inner, product, weight, split[0], flipped=False)


def _linear(graph: OnnxGraph, node: OnnxNode, product: str, weight: Array, bias: Array, flipped: bool) -> GraphLinear:
    if weight.ndim != 2:
        raise BackendError(
            f"expected a matrix in {node.inputs[1]} of {graph.path}, found shape {weight.shape}. Export it again."
        )
    weight = weight if flipped else weight.T
    found = GraphLinear(weight, bias, node.inputs[0], product, _range(graph, node, len(weight)))
    return _unbalanced(graph, found)


def _unbalanced(graph: OnnxGraph, found: GraphLinear) -> GraphLinear:
    """The layer of what its input was before each channel was multiplied by a constant, as NNCF's SmoothQuant does."""
    scaled = graph.node_of(through(graph, found.source), "Mul")
    split = constant_and_other(graph, scaled) if scaled else None
    if split is None or split[0].size != found.weight.shape[1] or split[0].size == 1 or not split[0].all():
        return found
    by = split[0].reshape(-1).astype(np.float32)
    weight = found.weight if is_hollow(found.weight) else found.weight * by
    smooth: Float32 = np.reciprocal(by)
    balanced = found.range and replace(found.range, input_smooth=smooth)
    return replace(found, weight=weight, source=split[1], range=balanced)


def _range(graph: OnnxGraph, node: OnnxNode, rows: int) -> QatRange | None:
    of_input, of_weight = (_rounding(graph, name) for name in node.inputs[:2])
    if of_input is None or of_weight is None:
        return None
    (scale, zero_point), (weight_scale, weight_zero_point) = of_input, of_weight
    wrong = {node.inputs[0]: scale.size != 1, node.inputs[1]: weight_scale.size not in (1, rows)}
    wrong[node.inputs[1]] |= bool((weight_zero_point != _middle(weight_zero_point)).any())
    for name, is_wrong in wrong.items():
        if is_wrong:
            raise BackendError(
                f"expected one scale for a linear layer's input and symmetric weight scales (one, or one per output), "
                f"found others at {name} in {graph.path}. Name the model before quantization."
            )
    shift = 128 - _middle(zero_point)
    wide: Float32 = np.broadcast_to(weight_scale.astype(np.float32).reshape(-1), (rows,))
    return QatRange(float(scale.reshape(())), int(zero_point.reshape(-1)[0]) + shift, wide, least_step=-128)


def _middle(zero_point: Array) -> int:
    """The zero point of a symmetric range of this type."""
    return 0 if zero_point.dtype == np.int8 else 128


def _rounding(graph: OnnxGraph, name: str) -> tuple[Array, Array] | None:
    """(scale, zero point) of the quantized tensor that `name` is computed from; None if there is none."""
    while (node := graph.node(name)) is not None and node.op in LAYOUT:
        name = node.inputs[0]
    if node is None or node.op != "DequantizeLinear":
        return None
    scale = graph.constant(node.inputs[1])
    given = [graph.constant(one) for one in node.inputs[2:3] if one]
    rounded = graph.constant(node.inputs[0])
    zero_point = given[0] if given else np.zeros(1, np.uint8 if rounded is None else rounded.dtype)
    return None if scale is None or zero_point is None else (scale, zero_point)


def clips_below_zero(graph: OnnxGraph, quantizer: OnnxNode) -> bool:
    """True if the zero point of a QuantizeLinear is the least value of its type."""
    given = [graph.constant(one) for one in quantizer.inputs[2:3] if one]
    if not given:
        return True  # uint8, and 0
    return given[0] is not None and bool((given[0] == np.iinfo(given[0].dtype).min).all())


def norm(graph: OnnxGraph, name: str) -> GraphNorm | None:
    """The LayerNorm with the output `name`, as one node, or as those that torch's or TensorFlow's exporter writes."""
    node = graph.node(through(graph, name))
    if node is None:
        return None
    if node.op == "LayerNormalization":
        parts = [graph.constant(one) for one in node.inputs[1:3]]
        if len(parts) != 2 or parts[0] is None or parts[1] is None:
            return None
        return GraphNorm(parts[0], parts[1], float(node.attributes.get("epsilon", 1e-5)), node.inputs[0])
    shifted = constant_and_other(graph, node) if node.op == "Add" else None
    scaled = graph.node(shifted[1]) if shifted else None
    parted = constant_and_other(graph, scaled) if scaled and scaled.op == "Mul" else None
    if not shifted or not parted or shifted[0].ndim != 1 or parted[0].ndim != 1:
        return _tensorflows(graph, node)
    return _unfolded(graph, parted[0], shifted[0], parted[1])


def _unfolded(graph: OnnxGraph, weight: Array, bias: Array, divided: str) -> GraphNorm | None:
    """The LayerNorm of a quotient (x - mean) / sqrt(variance + epsilon); None if `divided` is another quotient."""
    quotient = graph.node(divided)
    if quotient is None or quotient.op not in ("Div", "Mul"):
        return None
    centred = graph.node(through(graph, quotient.inputs[0]))
    epsilon = _epsilon(graph, quotient.inputs[1])
    if centred is None or centred.op != "Sub" or epsilon is None:
        return None
    return GraphNorm(weight, bias, epsilon, centred.inputs[0])


def _epsilon(graph: OnnxGraph, root: str) -> float | None:
    """Epsilon of sqrt(variance + epsilon), on which `root` depends."""
    found = graph.nearest(root, lambda name: graph.node_of(name, "Sqrt"))
    inside = graph.node(found.inputs[0]) if found else None
    epsilon = constant_and_other(graph, inside) if inside and inside.op == "Add" else None
    return float(epsilon[0].reshape(())) if epsilon is not None and epsilon[0].size == 1 else None


def _tensorflows(graph: OnnxGraph, total: OnnxNode) -> GraphNorm | None:
    """The LayerNorm x * m + (bias - mean * m) with m = weight / sqrt(variance + epsilon); None for another sum."""
    for scaled, shift in (total.inputs, total.inputs[::-1]) if total.op == "Add" else ():
        product, rest = graph.node_of(scaled, "Mul"), graph.node_of(shift, "Sub")
        bias, mean = (graph.constant(rest.inputs[0]), graph.node_of(rest.inputs[1], "Mul")) if rest else (None, None)
        shared = set(product.inputs) & set(mean.inputs) if product and mean else set()
        factor = graph.node_of(shared.pop(), "Mul") if len(shared) == 1 else None
        weight = constant_and_other(graph, factor) if factor else None
        epsilon = _epsilon(graph, weight[1]) if weight else None
        if product and factor and weight and epsilon is not None and bias is not None and bias.ndim == 1:
            source = next(name for name in product.inputs if name not in factor.outputs)
            return GraphNorm(weight[0], bias, epsilon, source)
    return None


def constant_and_other(graph: OnnxGraph, node: OnnxNode) -> tuple[Array, str] | None:
    """The constant input of a node and the name of its other input; None unless exactly one of the two is constant."""
    values = [graph.constant(name) for name in node.inputs[:2]]
    for value, other, other_value in zip(values, node.inputs[1::-1], values[::-1], strict=True):
        if value is not None and other_value is None:
            return value, other
    return None


def not_bert(graph: OnnxGraph, name: str, expected: str) -> BackendError:
    """The error for a graph that is not an exported BERT, because of what computes `name`."""
    node = graph.node(name)
    found = f"{node.op} ({', '.join(node.inputs)})" if node else "an input"
    return BackendError(
        f"expected {expected} at {name!r} in {graph.path} (its weights are read by the structure of an exported BERT), "
        f"found {found}. Run the graph as it is with --backend onnxruntime, or name the model it was exported from."
    )
