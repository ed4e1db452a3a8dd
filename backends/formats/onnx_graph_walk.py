"""An ONNX graph as a reader of weights needs it: the node that produces a tensor, and which tensors are constant.

Constants are folded on request (a transposed, quantized or rescaled weight is a constant too), so it does not matter
how much of that the exporter has folded already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from backends.errors import BackendError, brief

Array = npt.NDArray[Any]
T = TypeVar("T")


@dataclass(frozen=True)
class OnnxNode:
    """One operator, with the names of its input and output tensors."""

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class OnnxGraph:
    """A graph of tensors, which are known by name."""

    path: Path
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    made_by: Mapping[str, OnnxNode]  # output → the node that computes it
    constants: dict[str, Array | None] = field(default_factory=dict)  # a cache; None: known not to be constant

    def node(self, name: str) -> OnnxNode | None:
        """The node that computes `name`; None for an input or an initializer."""
        return self.made_by.get(name)

    def node_of(self, name: str, op: str) -> OnnxNode | None:
        """The node that computes `name`, if it is an `op`."""
        node = self.node(name)
        return node if node is not None and node.op == op else None

    def constant(self, name: str) -> Array | None:
        """The tensor's value; None if it depends on the graph's inputs."""
        if name not in self.constants:
            self.constants[name] = self._folded(self.node(name))
        return self.constants[name]

    def _folded(self, node: OnnxNode | None) -> Array | None:
        if node is None or node.op not in FOLDED:
            return None
        values = [self.constant(name) for name in node.inputs if name]
        return None if any(value is None for value in values) else FOLDED[node.op](node, *values)

    def variable(self, node: OnnxNode) -> list[str]:
        """The names of the node's inputs that are not constant."""
        return [name for name in node.inputs if name and self.constant(name) is None]

    def upstream(
        self, name: str, stop: Callable[[str, OnnxNode], bool] = lambda *_: False
    ) -> Iterator[tuple[str, OnnxNode]]:
        """`name` and all tensors that it depends on, with their nodes, nearest first; not beyond where `stop` holds."""
        waiting, seen = [name], {name}
        for one in waiting:
            node = self.node(one)
            if node is None:
                continue
            yield one, node
            if not stop(one, node):
                further = [other for other in self.variable(node) if other not in seen]
                seen.update(further)
                waiting.extend(further)

    def nearest(self, name: str, find: Callable[[str], T | None]) -> T | None:
        """The first result of `find` over `upstream` that is not None."""
        return next((found for one, _ in self.upstream(name) if (found := find(one)) is not None), None)


def load(path: Path) -> OnnxGraph:
    """The graph in a file.

    Raises:
        BackendError: it is not an ONNX graph, or incomplete: it reads a tensor that it does not have.
    """
    from onnx import numpy_helper

    proto = _parse(path, with_weights=True).graph
    constants: dict[str, Array | None] = {}
    for tensor in proto.initializer:
        try:
            constants[tensor.name] = numpy_helper.to_array(tensor)
        except Exception as error:
            raise BackendError(
                f"expected the tensor {tensor.name} in {path}, found it cut short: {brief(error)}."
            ) from error
    nodes = [_node(node) for node in proto.node]
    inputs = tuple(value.name for value in proto.input if value.name not in constants)
    made_by = {name: node for node in nodes for name in node.outputs}
    for node in nodes:
        for name in node.inputs:
            if name and name not in made_by and name not in constants and name not in inputs:
                raise BackendError(f"expected the tensor {name}, which a {node.op} of {path} reads, found none.")
    return OnnxGraph(path, inputs, tuple(value.name for value in proto.output), made_by, constants)


def has_op(path: Path, op: str) -> bool:
    """True if the graph has a node with this operator; False if the file is not a graph."""
    try:
        return any(node.op_type == op for node in _parse(path, with_weights=False).graph.node)
    except BackendError:
        return False


def outputs(path: Path) -> tuple[str, ...]:
    """The names of the graph's outputs, without reading its weights. Raises as `load`."""
    return tuple(value.name for value in _parse(path, with_weights=False).graph.output)


def files(path: Path) -> tuple[Path, ...]:
    """The file, and the files next to it that hold its larger tensors."""
    try:
        tensors = _parse(path, with_weights=False).graph.initializer
    except BackendError:
        return (path,)
    where = {entry.value for tensor in tensors for entry in tensor.external_data if entry.key == "location"}
    return (path, *(path.with_name(name) for name in sorted(where) if path.with_name(name).is_file()))


def _parse(path: Path, with_weights: bool) -> Any:
    import onnx

    try:
        proto = onnx.load(path, load_external_data=with_weights)
    except Exception as error:
        raise BackendError(
            f"expected an ONNX graph in {path}, found another file, or one cut short ({brief(error)}). "
            f"Copy or fetch it again."
        ) from error
    if not proto.graph.node:
        raise BackendError(f"expected an ONNX graph in {path}, found an empty one. Copy or fetch it again.")
    return proto


def _node(proto: Any) -> OnnxNode:
    from onnx import helper

    attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in proto.attribute}
    return OnnxNode(proto.op_type, tuple(proto.input), tuple(proto.output), attributes)


def _value(node: OnnxNode) -> Array | None:
    from onnx import numpy_helper

    if "value" in node.attributes:
        return numpy_helper.to_array(node.attributes["value"])
    found = [value for name, value in node.attributes.items() if name.startswith("value_")]
    return np.asarray(found[0]) if found else None


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
    "Constant": _value,
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
