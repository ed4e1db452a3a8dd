"""MobileBERT's encoder as ONNX nodes, with linear layers in any arithmetic.

A padded sample gets the answers of its natural length: the words' vectors are multiplied by the mask, so that the
trigram sees zeros behind the last token, and not the embedding of [PAD].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from onnx import TensorProto

from backends.bert.mobilebert import TRANSFORMATION, MobileBertConfig
from backends.formats.base import Tensors
from backends.formats.onnx_io_names import INPUTS
from backends.onnxruntime_cpu.graph_builder import FUSED, AddLinear, Array, GraphBuilder

_AT = "mobilebert.embeddings."
_IDS, _MASK, _TYPES = INPUTS


def in_floats(graph: GraphBuilder, config: MobileBertConfig, tensors: Tensors) -> str:
    """The encoder in fp32; returns the name of the last layer's output, [B, S, H]."""

    def layer(number: int) -> AddLinear:
        def linear(name: str, source: str) -> str:
            graph.linear_inputs.append(source)
            return _linear(graph, f"layer{number}.{name}", *config.linear_weights(tensors, number, name), source)

        return linear

    return encoder(graph, config, tensors, layer)


def encoder(
    graph: GraphBuilder,
    config: MobileBertConfig,
    tensors: Mapping[str, Array],
    layer: Callable[[int], AddLinear],
) -> str:
    """The encoder with the linear layers that `layer` adds; returns the name of the last layer's output."""
    x = _no_norm(graph, tensors, f"{_AT}LayerNorm", _embedded(graph, tensors))
    lengths = graph.node("Cast", [_sum(graph, _MASK)], "lengths", to=TensorProto.INT32)
    for number in range(config.num_hidden_layers):
        x = _layer(graph, config, tensors, number, layer(number), x, lengths)
    return x


def _layer(
    graph: GraphBuilder,
    config: MobileBertConfig,
    tensors: Mapping[str, Array],
    number: int,
    linear: AddLinear,
    x: str,
    lengths: str,
) -> str:
    at, out = config.layer_name(number), f"layer{number}."

    def added(name: str, projected: str, residual: str) -> str:
        total = graph.node("Add", [projected, residual], f"{out}{name}.sum")
        return _no_norm(graph, tensors, f"{at}{name}.LayerNorm", total)

    parts = [f"{out}{part}" for part in ("query", "key", "value", "residual")]
    graph.node("Split", [linear("bottleneck", x)], *parts, axis=2, num_outputs=4)
    *qkv, residual = parts
    heads = config.num_attention_heads
    inputs = [*qkv, "", lengths]
    context = graph.node("MultiHeadAttention", inputs, f"{out}context", domain=FUSED, num_heads=heads)
    a = added("attention.output", linear("attention_output", context), residual)
    for name, below in config.feedforwards.items():
        inner = graph.node("Relu", [linear(f"{name}_inner", a)], f"{out}{name}.relu")
        a = added(f"{below}output", linear(f"{name}_output", inner), a)
    return added("output.bottleneck", linear("output_bottleneck", a), x)


def _embedded(graph: GraphBuilder, tensors: Mapping[str, Array]) -> str:
    """The sum of a token's embeddings, [B, S, H]."""
    tables = {
        name: graph.weight(f"{name}s", tensors[f"{_AT}{name}_embeddings.weight"])
        for name in ("word", "position", "token_type")
    }
    shown = graph.node(
        "Cast",
        [graph.node("Unsqueeze", [_MASK, graph.constant("last_axis", -1)], "mask.wide")],
        "shown",
        to=TensorProto.FLOAT,
    )
    words = graph.node("Mul", [graph.node("Gather", [tables["word"], _IDS], "words.rows"), shown], "words.shown")
    # A zero vector before the first token and after the last one: [B, S + 2, E].
    wide = graph.node("Pad", [words, graph.constant("margins", 0, 1, 0, 0, 1, 0)], "words.wide")
    axis, most = graph.constant("tokens_axis", 1), graph.constant("most", np.iinfo(np.int64).max)
    following = graph.node("Slice", [wide, graph.constant("two", 2), most, axis], "words.following")
    previous = graph.node(
        "Slice", [wide, graph.constant("zero", 0), graph.constant("minus_two", -2), axis], "words.previous"
    )
    trigram = graph.node("Concat", [following, words, previous], "trigram", axis=2)
    weight, bias = (tensors[f"{TRANSFORMATION}.{part}"] for part in ("weight", "bias"))
    transformed = _linear(graph, "transformation", weight, bias, trigram)
    length = graph.node("Shape", [_IDS], "length", start=1)
    rows = graph.node("Slice", [tables["position"], graph.constant("first", 0), length], "positions.rows")
    types = graph.node("Gather", [tables["token_type"], _TYPES], "types.rows")
    return graph.node("Add", [graph.node("Add", [transformed, rows], "placed"), types], "embedded")


def _sum(graph: GraphBuilder, mask: str) -> str:
    return graph.node("ReduceSum", [mask, graph.constant("sum_axis", 1)], "lengths.wide", keepdims=0)


def _linear(graph: GraphBuilder, out: str, weight: Array, bias: Array, source: str) -> str:
    product = graph.node("MatMul", [source, graph.weight(f"{out}.weight", weight.T)], f"{out}.product")
    return graph.node("Add", [product, graph.weight(f"{out}.bias", bias)], out)


def _no_norm(graph: GraphBuilder, tensors: Mapping[str, Array], at: str, x: str) -> str:
    weight, bias = (graph.weight(f"{at}.{part}", tensors[f"{at}.{part}"]) for part in ("weight", "bias"))
    return graph.node("Add", [graph.node("Mul", [x, weight], f"{at}.scaled"), bias], f"{at}.out")
