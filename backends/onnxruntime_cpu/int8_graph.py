"""A model as an ONNX graph with int8 linear layers, calibrated or with dynamic ranges, computed for each batch.

Every linear layer is one MatMulIntegerToFloat (uint8 by int8, then scales and bias) after a QuantizeLinear; with
dynamic ranges it is one DynamicQuantizeMatMul. Attention, LayerNorm and GELU stay float, in ONNX Runtime's fused
operators. The balancing of attention's output is folded into the value rows of the layer before it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from backends.bert.architectures import implementation
from backends.bert.config import BertConfig
from backends.bert.encoder import EncoderConfig
from backends.formats.base import Tensors
from backends.onnxruntime_cpu import mobilebert_graph
from backends.onnxruntime_cpu.graph import embeddings
from backends.onnxruntime_cpu.graph_builder import (
    FUSED,
    AddLinear,
    Array,
    BuiltGraph,
    GraphBuilder,
    finish,
    head,
    norm,
)
from backends.quantization.int8_model import QuantizedLinear, QuantizedModel, round_weight
from foundation.arrays import Float32


def build(model: QuantizedModel) -> BuiltGraph:
    """The graph of a quantized model."""
    graph = GraphBuilder()
    folded = implementation(_FOLDED, model.config, "backend onnxruntime")

    def layer(number: int) -> AddLinear:
        linears = folded(model, number)

        def linear(name: str, source: str) -> str:
            out = f"layer{number}.{name}"
            quantized = _quantize(graph, linears[name], out, source)
            weight = graph.weight(f"{out}.weight", linears[name].weight.T)
            scales = (f"{out}.input_scale", _scale(graph, linears[name], out))
            bias = graph.weight(f"{out}.bias", linears[name].bias)
            inputs = [quantized, weight, *scales, f"{out}.input_zero_point", "", bias]
            return graph.node("MatMulIntegerToFloat", inputs, out, domain=FUSED)

        return linear

    return _assemble(graph, model.config, model.tensors, layer)


def build_dynamic(config: EncoderConfig, tensors: Tensors) -> BuiltGraph:
    """The graph of a float model: weights are quantized here, the inputs of linear layers at run time, per tensor."""
    graph = GraphBuilder()

    def layer(number: int) -> AddLinear:
        def linear(name: str, source: str) -> str:
            out = f"layer{number}.{name}"
            exact, bias = config.linear_weights(tensors, number, name)
            rounded, scale = round_weight(exact)
            weight = graph.weight(f"{out}.weight", rounded.T)
            inputs = [source, weight, graph.weight(f"{out}.scale", scale), "", graph.weight(f"{out}.bias", bias)]
            return graph.node("DynamicQuantizeMatMul", inputs, out, domain=FUSED)

        return linear

    return _assemble(graph, config, tensors, layer)


def _assemble(
    graph: GraphBuilder, config: EncoderConfig, tensors: Mapping[str, Array], layer: Callable[[int], AddLinear]
) -> BuiltGraph:
    encoder = implementation(_ENCODERS, config, "backend onnxruntime")
    head(graph, config, tensors, encoder(graph, config, tensors, layer))
    return finish(graph, config)


def _bert(
    graph: GraphBuilder, config: BertConfig, tensors: Mapping[str, Array], layer: Callable[[int], AddLinear]
) -> str:
    hidden, lengths = embeddings(graph, config, tensors)
    for number in range(config.num_hidden_layers):
        hidden = _layer(graph, config, tensors, number, layer(number), hidden, lengths)
    return hidden


# By `model_type`: functions of (graph, config, tensors, linear layers) → the name of the last layer's output.
_ENCODERS: dict[str, Callable[[GraphBuilder, Any, Mapping[str, Array], Callable[[int], AddLinear]], str]] = {
    "bert": _bert,
    "mobilebert": mobilebert_graph.encoder,
}


def _layer(
    graph: GraphBuilder,
    config: BertConfig,
    tensors: Mapping[str, Array],
    number: int,
    linear: AddLinear,
    x: str,
    lengths: str,
) -> str:
    at, out = f"bert.encoder.layer.{number}.", f"layer{number}."

    def normed(name: str, dense: str, residual: str) -> str:
        parts = [graph.weight(at + part, tensors[at + part]) for part in norm(f"{name}.LayerNorm")]
        epsilon = config.layer_norm_eps
        inputs = [dense, residual, *parts]
        return graph.node("SkipLayerNormalization", inputs, f"{out}{name}.normed", domain=FUSED, epsilon=epsilon)

    split = [f"{out}{part}" for part in ("query", "key", "value")]
    graph.node("Split", [linear("qkv", x)], *split, axis=2, num_outputs=3)
    heads = len(graph.weights[f"{out}qkv.bias"]) // (3 * config.head_size)  # of a layer that may be narrow
    inputs = [*split, "", lengths]
    context = graph.node("MultiHeadAttention", inputs, f"{out}context", domain=FUSED, num_heads=heads)
    x = normed("attention.output", linear("attention_output", context), x)
    inner = graph.node("Gelu", [linear("ffn_inner", x)], f"{out}gelu", domain=FUSED)
    return normed("output", linear("ffn_output", inner), x)


def _bert_folded(model: QuantizedModel, number: int) -> dict[str, QuantizedLinear]:
    """The linear layers, with the balancing of attention's output folded into the values.

    A context is a weighted mean of values, so dividing the values divides the context.
    """
    found = {name: model.linear(number, name) for name in model.config.linears()}
    width = len(found["qkv"].bias) // 3
    return _fold(found, "attention_output", "qkv", slice(2 * width, 3 * width))


def _mobilebert_folded(model: QuantizedModel, number: int) -> dict[str, QuantizedLinear]:
    """As `_bert_folded`; and the balancing of relu's output is folded into its input, as it scales with it."""
    found = {name: model.linear(number, name) for name in model.config.linears()}
    width = model.config.attention_size
    found = _fold(found, "attention_output", "bottleneck", slice(2 * width, 3 * width))
    for name in found:
        if name.endswith("_inner"):
            found = _fold(found, name.replace("_inner", "_output"), name, slice(None))
    return found


_FOLDED = {"bert": _bert_folded, "mobilebert": _mobilebert_folded}  # by `model_type`


def _fold(found: dict[str, QuantizedLinear], reader: str, writer: str, rows: slice) -> dict[str, QuantizedLinear]:
    """The same layers, with the balancing of `reader`'s input in these rows of `writer`, which computes it."""
    smooth, before = found[reader].input_smooth, found[writer]
    by = np.ones_like(before.bias)
    by[rows] = smooth
    return found | {
        writer: replace(before, weight_scale=before.weight_scale / by, bias=before.bias / by),
        reader: replace(found[reader], input_smooth=np.ones_like(smooth)),
    }


def _quantize(graph: GraphBuilder, linear: QuantizedLinear, out: str, source: str) -> str:
    if (linear.input_smooth != 1).any():
        by: Float32 = (1 / linear.input_smooth).astype(np.float32)
        source = graph.node("Mul", [source, graph.weight(f"{out}.by", by)], f"{out}.balanced")
    scale = graph.weight(f"{out}.input_scale", np.asarray(linear.input_scale, np.float32))
    zero_point = graph.weight(f"{out}.input_zero_point", np.asarray(linear.input_zero_point, np.uint8))
    return graph.node("QuantizeLinear", [source, scale, zero_point], f"{out}.input")


def _scale(graph: GraphBuilder, linear: QuantizedLinear, out: str) -> str:
    return graph.weight(f"{out}.weight_scale", linear.weight_scale)
