"""Collects the nodes and weights of an ONNX graph, and adds what the graphs of all architectures share.

Weights stay outside the protobuf, which is limited to 2 GB and would copy them twice: the graph only names them, and
the session gets the arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from backends.bert.encoder import EncoderConfig
from backends.bert.heads import CLASSES, COLUMNS
from backends.formats.onnx_io_names import INPUTS, OUTPUTS

Array = npt.NDArray[Any]

_INLINE_BYTES = 256  # smaller arrays are stored in the graph itself
BuiltGraph = tuple[ModelProto, dict[str, Array]]  # a model, and the arrays of its external initializers by name
FUSED = "com.microsoft"  # the domain of ONNX Runtime's own operators


@dataclass
class GraphBuilder:
    """Collects nodes and weights."""

    weights: dict[str, Array] = field(default_factory=dict)
    nodes: list[NodeProto] = field(default_factory=list)
    linear_inputs: list[str] = field(default_factory=list)  # of linear layers, in the order of `linears`

    def weight(self, name: str, array: Array) -> str:
        """Add an initializer; returns its name."""
        self.weights[name] = np.ascontiguousarray(array).reshape(array.shape)  # ascontiguousarray makes scalars 1-d
        return name

    def node(self, operator: str, inputs: list[str], *outputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node; returns the name of its first output."""
        self.nodes.append(helper.make_node(operator, inputs, list(outputs), domain=domain, **attributes))
        return outputs[0]

    def constant(self, name: str, *values: int) -> str:
        """Add int64 [N] as a node, which needs no file: an axis, a shape, an index."""
        tensor = helper.make_tensor(name, TensorProto.INT64, [len(values)], values)
        self.nodes.append(helper.make_node("Constant", [], [name], value=tensor))
        return name


# Adds a linear layer to the graph: (one of `EncoderConfig.linears`, name of its input) → name of its output.
AddLinear = Callable[[str, str], str]


def norm(at: str) -> tuple[str, str]:
    """The tensor names of a LayerNorm's weight and bias."""
    return f"{at}.weight", f"{at}.bias"


def head(graph: GraphBuilder, config: EncoderConfig, tensors: Mapping[str, Array], hidden: str) -> None:
    """Add the head: from the last layer, [B, S, H], to the graph's outputs."""
    write = _classes if config.head == CLASSES else _spans
    write(graph, tensors, hidden, OUTPUTS[config.head])


def _spans(graph: GraphBuilder, tensors: Mapping[str, Array], hidden: str, outputs: Sequence[str]) -> None:
    both = _linear(graph, tensors, "qa_outputs", hidden, "both")
    graph.node("Split", [both], "start", "end", axis=2, num_outputs=2)
    graph.constant("last", 2)
    for half, output in zip(("start", "end"), outputs, strict=True):
        graph.node("Squeeze", [half, "last"], output)


def _classes(graph: GraphBuilder, tensors: Mapping[str, Array], hidden: str, outputs: Sequence[str]) -> None:
    first = graph.node("Gather", [hidden, graph.weight("first", np.zeros((), np.int64))], "first.hidden", axis=1)
    pooled = graph.node("Tanh", [_linear(graph, tensors, "bert.pooler.dense", first, "pooler")], "pooled")
    _linear(graph, tensors, "classifier", pooled, outputs[0])


def _linear(graph: GraphBuilder, tensors: Mapping[str, Array], name: str, source: str, out: str) -> str:
    weight, bias = (graph.weight(f"{name}.{part}", tensors[f"{name}.{part}"].T) for part in ("weight", "bias"))
    return graph.node("Add", [graph.node("MatMul", [source, weight], f"{name}.product"), bias], out)


def finish(graph: GraphBuilder, config: EncoderConfig, linear_inputs: Sequence[str] = ()) -> BuiltGraph:
    """The model, opset 18, with inputs int64 [B, S] and the head's outputs; and the arrays to pass to the session."""
    shape: list[str | int | None] = ["batch", "sequence"]
    answers: list[str | int | None] = ["batch", COLUMNS] if config.head == CLASSES else shape
    outputs = [(name, answers) for name in OUTPUTS[config.head]] + [
        (name, [*shape, "width of " + name]) for name in linear_inputs
    ]
    external = {name: array for name, array in graph.weights.items() if array.nbytes >= _INLINE_BYTES}
    proto = helper.make_graph(
        graph.nodes,
        config.model_type,
        [helper.make_tensor_value_info(name, TensorProto.INT64, shape) for name in INPUTS],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name, dims in outputs],
        [
            _external(name, array) if name in external else numpy_helper.from_array(array, name)
            for name, array in graph.weights.items()
        ],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid(FUSED, 1)]
    return helper.make_model(proto, opset_imports=opsets, ir_version=9), external


def _external(name: str, array: Array) -> TensorProto:
    """An initializer with its data outside the graph: the session gets the array."""
    kind = helper.np_dtype_to_tensor_dtype(array.dtype)
    tensor = TensorProto(name=name, data_type=kind, dims=array.shape, data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="memory")
    return tensor
