"""A model as an ONNX graph in fp32, written from its weights without torch: BERT here, others in their own modules.

The graph has the input and output names of MLPerf's published model, so that it and a user's own .onnx file run
through the same code. It uses ONNX Runtime's fused operators (Attention, SkipLayerNormalization, BiasGelu): on a CPU
they are faster than plain MatMul and Softmax nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from onnx import TensorProto

from backends.bert.architectures import implementation
from backends.bert.config import BertConfig
from backends.bert.encoder import EncoderConfig
from backends.formats.base import Tensors
from backends.formats.onnx_io_names import INPUTS
from backends.onnxruntime_cpu import mobilebert_graph
from backends.onnxruntime_cpu.graph_builder import FUSED, Array, BuiltGraph, GraphBuilder, finish, head, norm


def build(config: EncoderConfig, tensors: Tensors, with_linear_inputs: bool = False) -> BuiltGraph:
    """The graph in fp32.

    Inputs are int64 [B, S], outputs float32 [B, S] (spans) or [B, 2] (classes). `with_linear_inputs` adds the input of
    each linear layer, float32 [B, S, K], as a further output, layer by layer in the order of `EncoderConfig.linears`.
    """
    graph = GraphBuilder()
    hidden = implementation(_ENCODERS, config, "backend onnxruntime")(graph, config, tensors)
    head(graph, config, tensors, hidden)
    return finish(graph, config, graph.linear_inputs if with_linear_inputs else [])


def _bert(graph: GraphBuilder, config: BertConfig, tensors: Tensors) -> str:
    hidden, lengths = embeddings(graph, config, tensors)
    for layer in range(config.num_hidden_layers):
        hidden = _layer(graph, config, tensors, layer, hidden, lengths)
    return hidden


def embeddings(graph: GraphBuilder, config: BertConfig, tensors: Mapping[str, Array]) -> tuple[str, str]:
    """Names of the normalized embeddings [B, S, H] and of the samples' lengths, int32 [B]."""
    narrow = [graph.node("Cast", [name], f"{name}.int32", to=TensorProto.INT32) for name in INPUTS]
    names = ("word_embeddings.weight", "position_embeddings.weight", "token_type_embeddings.weight")
    tables = [graph.weight(name, tensors[f"bert.embeddings.{name}"]) for name in (*names, *norm("LayerNorm"))]
    inputs = [narrow[0], narrow[2], *tables, narrow[1]]
    graph.node("EmbedLayerNormalization", inputs, "embedded", "lengths", domain=FUSED, epsilon=config.layer_norm_eps)
    return "embedded", "lengths"


def _layer(graph: GraphBuilder, config: BertConfig, tensors: Tensors, layer: int, hidden: str, lengths: str) -> str:
    at, out = f"bert.encoder.layer.{layer}.", f"layer{layer}."
    weight = {name.removeprefix(at): tensor for name, tensor in tensors.items() if name.startswith(at)}
    query_key_value = [f"attention.self.{part}" for part in ("query", "key", "value")]
    packed = graph.weight(
        out + "qkv.weight", np.concatenate([weight[f"{p}.weight"].T for p in query_key_value], axis=1)
    )
    biases = graph.weight(out + "qkv.bias", np.concatenate([weight[f"{p}.bias"] for p in query_key_value]))
    inputs, width = [hidden, packed, biases, lengths], len(graph.weights[biases]) // 3  # of a layer that may be narrow
    shapes = {"num_heads": width // config.head_size, "qkv_hidden_sizes": [width] * 3}
    context = graph.node("Attention", inputs, out + "context", domain=FUSED, **shapes)
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


# By `model_type`: functions of (graph, config, tensors) → the name of the last layer's output.
_ENCODERS: dict[str, Callable[[GraphBuilder, Any, Tensors], str]] = {
    "bert": _bert,
    "mobilebert": mobilebert_graph.in_floats,
}
