"""BERT as an ONNX graph, written from its weights without torch.

The graph has the input and output names of MLPerf's published model, so that it and a user's own .onnx file run
through the same code. It uses ONNX Runtime's fused operators (Attention, SkipLayerNormalization, BiasGelu): on a CPU
they are faster than plain MatMul and Softmax nodes. Weights stay outside the protobuf, which is limited to 2 GB and
would copy them twice: the graph only names them, and the session gets the arrays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from backends.bert.config import BertConfig
from backends.bert.heads import CLASSES, COLUMNS
from backends.formats.base import Tensors
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
    linear_inputs: list[str] = field(default_factory=list)  # inputs of the linear layers, in the order of LINEARS

    def weight(self, name: str, array: Array) -> str:
        """Add an initializer; returns its name."""
        self.weights[name] = np.ascontiguousarray(array).reshape(array.shape)  # ascontiguousarray makes scalars 1-d
        return name

    def node(self, operator: str, inputs: list[str], *outputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node; returns the name of its first output."""
        self.nodes.append(helper.make_node(operator, inputs, list(outputs), domain=domain, **attributes))
        return outputs[0]


def build(config: BertConfig, tensors: Tensors, with_linear_inputs: bool = False) -> BuiltGraph:
    """The graph in fp32.

    Inputs are int64 [B, S], outputs float32 [B, S] (spans) or [B, 2] (classes). `with_linear_inputs` adds the input of
    each linear layer, float32 [B, S, K], as a further output, layer by layer in the order of `int8_model.LINEARS`.
    """
    graph = GraphBuilder()
    hidden, lengths = embeddings(graph, config, tensors)
    for layer in range(config.num_hidden_layers):
        hidden = _layer(graph, config, tensors, layer, hidden, lengths)
    head(graph, config, tensors, hidden)
    return finish(graph, config, graph.linear_inputs if with_linear_inputs else [])


def embeddings(graph: GraphBuilder, config: BertConfig, tensors: Mapping[str, Array]) -> tuple[str, str]:
    """Names of the normalized embeddings [B, S, H] and of the samples' lengths, int32 [B]."""
    narrow = [graph.node("Cast", [name], f"{name}.int32", to=TensorProto.INT32) for name in INPUTS]
    names = ("word_embeddings.weight", "position_embeddings.weight", "token_type_embeddings.weight")
    tables = [graph.weight(name, tensors[f"bert.embeddings.{name}"]) for name in (*names, *norm("LayerNorm"))]
    inputs = [narrow[0], narrow[2], *tables, narrow[1]]
    graph.node("EmbedLayerNormalization", inputs, "embedded", "lengths", domain=FUSED, epsilon=config.layer_norm_eps)
    return "embedded", "lengths"


def norm(at: str) -> tuple[str, str]:
    """The tensor names of a LayerNorm's weight and bias."""
    return f"{at}.weight", f"{at}.bias"


def _layer(graph: GraphBuilder, config: BertConfig, tensors: Tensors, layer: int, hidden: str, lengths: str) -> str:
    at, out = f"bert.encoder.layer.{layer}.", f"layer{layer}."
    weight = {name.removeprefix(at): tensor for name, tensor in tensors.items() if name.startswith(at)}
    query_key_value = [f"attention.self.{part}" for part in ("query", "key", "value")]
    packed = graph.weight(
        out + "qkv.weight", np.concatenate([weight[f"{p}.weight"].T for p in query_key_value], axis=1)
    )
    biases = graph.weight(out + "qkv.bias", np.concatenate([weight[f"{p}.bias"] for p in query_key_value]))
    heads = config.num_attention_heads
    context = graph.node("Attention", [hidden, packed, biases, lengths], out + "context", domain=FUSED, num_heads=heads)
    attended = _dense_and_norm(graph, config, weight, out, "attention.output", context, hidden)
    inner = _matmul(graph, weight, out, "intermediate.dense", attended)
    bias = graph.weight(out + "intermediate.bias", weight["intermediate.dense.bias"])
    active = graph.node("BiasGelu", [inner, bias], out + "gelu", domain=FUSED)
    graph.linear_inputs += [hidden, context, attended, active]
    return _dense_and_norm(graph, config, weight, out, "output", active, attended)


def _matmul(graph: GraphBuilder, weight: Tensors, out: str, name: str, source: str) -> str:
    transposed = graph.weight(f"{out}{name}.weight", weight[f"{name}.weight"].T)
    return graph.node("MatMul", [source, transposed], f"{out}{name}")


def _dense_and_norm(
    graph: GraphBuilder, config: BertConfig, weight: Tensors, out: str, name: str, source: str, residual: str
) -> str:
    """LayerNorm(dense(source) + residual)."""
    dense = _matmul(graph, weight, out, f"{name}.dense", source)
    rest = [graph.weight(out + part, weight[part]) for part in (*norm(f"{name}.LayerNorm"), f"{name}.dense.bias")]
    epsilon = config.layer_norm_eps
    return graph.node(
        "SkipLayerNormalization", [dense, residual, *rest], f"{out}{name}.normed", domain=FUSED, epsilon=epsilon
    )


def head(graph: GraphBuilder, config: BertConfig, tensors: Mapping[str, Array], hidden: str) -> None:
    """Add the head: from the last layer, [B, S, H], to the graph's outputs."""
    write = _classes if config.head == CLASSES else _spans
    write(graph, tensors, hidden, OUTPUTS[config.head])


def _spans(graph: GraphBuilder, tensors: Mapping[str, Array], hidden: str, outputs: Sequence[str]) -> None:
    both = _linear(graph, tensors, "qa_outputs", hidden, "both")
    graph.node("Split", [both], "start", "end", axis=2, num_outputs=2)
    graph.nodes.append(
        helper.make_node("Constant", [], ["last"], value=helper.make_tensor("last", TensorProto.INT64, [1], [2]))
    )
    for half, output in zip(("start", "end"), outputs, strict=True):
        graph.node("Squeeze", [half, "last"], output)


def _classes(graph: GraphBuilder, tensors: Mapping[str, Array], hidden: str, outputs: Sequence[str]) -> None:
    first = graph.node("Gather", [hidden, graph.weight("first", np.zeros((), np.int64))], "first.hidden", axis=1)
    pooled = graph.node("Tanh", [_linear(graph, tensors, "bert.pooler.dense", first, "pooler")], "pooled")
    _linear(graph, tensors, "classifier", pooled, outputs[0])


def _linear(graph: GraphBuilder, tensors: Mapping[str, Array], name: str, source: str, out: str) -> str:
    weight, bias = (graph.weight(f"{name}.{part}", tensors[f"{name}.{part}"].T) for part in ("weight", "bias"))
    return graph.node("Add", [graph.node("MatMul", [source, weight], f"{name}.product"), bias], out)


def finish(graph: GraphBuilder, config: BertConfig, linear_inputs: Sequence[str] = ()) -> BuiltGraph:
    """The model, opset 18, with inputs int64 [B, S] and the head's outputs; and the arrays to pass to the session."""
    shape: list[str | int | None] = ["batch", "sequence"]
    answers: list[str | int | None] = ["batch", COLUMNS] if config.head == CLASSES else shape
    outputs = [(name, answers) for name in OUTPUTS[config.head]] + [
        (name, [*shape, "width of " + name]) for name in linear_inputs
    ]
    external = {name: array for name, array in graph.weights.items() if array.nbytes >= _INLINE_BYTES}
    proto = helper.make_graph(
        graph.nodes,
        "bert",
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
