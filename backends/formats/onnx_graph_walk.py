"""An ONNX graph as a reader of weights needs it: the node that produces a tensor, and which tensors are constant.

Constants are folded on request (a transposed, quantized or rescaled weight is a constant too), so it does not matter
how much of that the exporter has folded already. A graph comes from anywhere: one with a cycle is refused when it is
loaded, so that every walk ends, and what is folded is limited by what the file holds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from backends.errors import BackendError
from backends.formats import onnx_file
from backends.formats.onnx_file import Array
from backends.formats.onnx_folding import FOLDED, OnnxNode, result_size

T = TypeVar("T")
_SMALL = 4096  # elements of a constant that is read although weights are not: an axis, a shape, an index
_FOLDS, _FREE = 16, 1 << 20  # elements that may be folded: 16 times those in the file, and a million
_COMPUTING = (ValueError, TypeError, IndexError, KeyError, OverflowError, np.exceptions.AxisError)


@dataclass(frozen=True)
class OnnxGraph:
    """A graph of tensors, which are known by name."""

    path: Path
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    made_by: Mapping[str, OnnxNode]  # output → the node that computes it
    constants: dict[str, Array | None] = field(default_factory=dict)  # a cache; None: known not to be constant
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # of all that the file holds, read or not
    most_folded: int = _FREE  # elements that may be folded
    folded: list[int] = field(default_factory=lambda: [0])  # elements that were folded, as one number

    def node(self, name: str) -> OnnxNode | None:
        """The node that computes `name`; None for an input or a constant of the file."""
        return self.made_by.get(name)

    def node_of(self, name: str, op: str) -> OnnxNode | None:
        """The node that computes `name`, if it is an `op`."""
        node = self.node(name)
        return node if node is not None and node.op == op else None

    def constant(self, name: str) -> Array | None:
        """The tensor's value; None if it depends on the graph's inputs, or cannot be computed.

        Raises:
            BackendError: the constants that it is computed from are too large.
        """
        waiting = [name]  # a stack of our own: chains of thousands of nodes are deeper than Python's
        while waiting:
            node = self.node(waiting[-1])
            inputs = [one for one in node.inputs if one] if node is not None and node.op in FOLDED else []
            further = [one for one in inputs if one not in self.constants]
            if waiting[-1] in self.constants:
                waiting.pop()
            elif further:
                waiting.extend(further)
            else:
                self.constants[waiting.pop()] = self._folded(node, inputs)
        return self.constants[name]

    def _folded(self, node: OnnxNode | None, inputs: list[str]) -> Array | None:
        values = [value for name in inputs if (value := self.constants[name]) is not None]
        if node is None or not inputs or len(values) < len(inputs):
            return None
        try:
            self.folded[0] += result_size(node, values)
        except ValueError:
            return None
        if self.folded[0] > self.most_folded:
            raise BackendError(
                f"expected constants in {self.path} of the size of its weights, found a {node.op} of constants "
                f"that makes them {self.folded[0]:,} elements. Export the model again."
            )
        try:
            with np.errstate(all="ignore"):
                found = FOLDED[node.op](node, *values)
        except _COMPUTING:
            return None
        return found if found is None or not any(map(is_hollow, values)) else _hollow(found.shape, found.dtype)

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
    """The graph in a file, with its weights.

    Raises:
        BackendError: it is not an ONNX graph, or incomplete, or has a cycle.
    """
    return of_proto(path, onnx_file.parse(path).graph)


def hollow(tensor: Any, path: Path) -> Array:
    """Zeros of a TensorProto's shape and type, which need no memory: for what follows from the structure alone."""
    from onnx import helper

    return _hollow(onnx_file.shape(tensor), helper.tensor_dtype_to_np_dtype(tensor.data_type))


def _hollow(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    return np.broadcast_to(np.zeros((), dtype), shape)


def is_hollow(value: Array) -> bool:
    """Whether it is of `hollow`."""
    return value.size > _SMALL and not any(value.strides)


def of_proto(
    path: Path, proto: Any, weights: Callable[[Any, Path], Array | None] | None = onnx_file.array
) -> OnnxGraph:
    """The graph in a GraphProto of the file `path`.

    Args:
        weights: the value of a larger constant, from its TensorProto; None: the shapes only.
    """
    held = {tensor.name: tensor for tensor in proto.initializer}
    held |= {node.output[0]: found for node in proto.node if (found := _value(node)) is not None}
    shapes = {name: onnx_file.shape(tensor) for name, tensor in held.items()}
    constants: dict[str, Array | None] = {
        name: onnx_file.array(tensor, path) if math.prod(shapes[name]) <= _SMALL else weights and weights(tensor, path)
        for name, tensor in held.items()
    }
    nodes = [_node(node) for node in proto.node if node.output and node.output[0] not in held]
    inputs = tuple(value.name for value in proto.input if value.name not in held)
    made_by = {name: node for node in nodes for name in node.outputs if name}
    _check(path, nodes, made_by, {*held, *inputs})
    outputs = tuple(value.name for value in proto.output)
    most = _FREE + _FOLDS * sum(math.prod(shape) for shape in shapes.values())
    return OnnxGraph(path, inputs, outputs, made_by, constants, shapes, most)


def _check(path: Path, nodes: list[OnnxNode], made_by: Mapping[str, OnnxNode], given: set[str]) -> None:
    """Raises BackendError if a node reads a tensor that does not exist, or depends on itself."""
    for node in nodes:
        for name in node.inputs:
            if name and name not in made_by and name not in given:
                raise BackendError(
                    f"expected the tensor {name}, which a {node.op} of {path} reads, found none. "
                    f"Copy or fetch it again."
                )
    try:
        TopologicalSorter({name: set(node.inputs) for name, node in made_by.items()}).prepare()
    except CycleError as error:
        raise BackendError(
            f"expected a graph without cycles in {path}, found one through {error.args[1][0]!a}. Export it again."
        ) from error


def _node(proto: Any) -> OnnxNode:
    from onnx import helper

    attributes = {one.name: helper.get_attribute_value(one) for one in proto.attribute if one.type}
    return OnnxNode(proto.op_type, tuple(proto.input), tuple(proto.output), attributes)


def _value(proto: Any) -> Any:
    """The TensorProto of a Constant; None for other nodes."""
    from onnx import numpy_helper

    if proto.op_type != "Constant" or len(proto.output) != 1:
        return None
    for name, value in _node(proto).attributes.items():
        if name == "value":
            return value
        if name in ("value_float", "value_floats", "value_int", "value_ints"):
            kind = np.float32 if "float" in name else np.int64
            return numpy_helper.from_array(np.asarray(value, kind))
    return None
