"""MobileBERT's encoder in OpenVINO's operators.

A padded sample gets the answers of its natural length: the words' vectors are multiplied by the mask, so that the
trigram sees zeros behind the last token, and not the embedding of [PAD].
"""

from __future__ import annotations

import numpy as np
from openvino import opset13 as op

from backends.bert.mobilebert import TRANSFORMATION, MobileBertConfig
from backends.formats.base import Tensors
from backends.openvino_cpu.graph_parts import Node, attention, constant, linear, mask_scores

_AT = "mobilebert.embeddings."
_END = np.iinfo(np.int64).max


def encoder(config: MobileBertConfig, tensors: Tensors, ids: Node, mask: Node, types: Node) -> Node:
    """The output of the last layer, [B, S, H]."""
    x, scores = _no_norm(tensors, f"{_AT}LayerNorm", _embedded(tensors, ids, mask, types)), mask_scores(mask)
    for layer in range(config.num_hidden_layers):
        x = _layer(config, tensors, layer, x, scores)
    return x


def _layer(config: MobileBertConfig, tensors: Tensors, layer: int, x: Node, scores: Node) -> Node:
    at = config.layer_name(layer)

    def dense(name: str, source: Node) -> Node:
        weight, bias = config.linear_weights(tensors, layer, name)  # made here: the constants keep copies
        return op.add(op.matmul(source, op.constant(weight), False, True), op.constant(bias))

    def added(name: str, projected: Node, residual: Node) -> Node:
        return _no_norm(tensors, f"{at}{name}.LayerNorm", op.add(projected, residual))

    wide = op.split(dense("bottleneck", x), np.int64(2), 4)
    query, key, value, residual = (wide.output(which) for which in range(4))
    context = attention(config, query, key, value, scores)
    a = added("attention.output", dense("attention_output", context), residual)
    for name, below in config.feedforwards.items():
        inner = op.relu(dense(f"{name}_inner", a))
        a = added(f"{below}output", dense(f"{name}_output", inner), a)
    return added("output.bottleneck", dense("output_bottleneck", a), x)


def _embedded(tensors: Tensors, ids: Node, mask: Node, types: Node) -> Node:
    """The sum of a token's embeddings, [B, S, H]."""
    tables = {name: constant(tensors[f"{_AT}{name}_embeddings.weight"]) for name in ("word", "position", "token_type")}
    shown = op.convert(op.unsqueeze(mask, [2]), "f32")
    words = op.multiply(op.gather(tables["word"], ids, np.int64(0)), shown)
    # A zero vector before the first token and after the last one: [B, S + 2, E].
    wide = op.pad(words, [0, 1, 0], [0, 1, 0], "constant", np.float32(0))
    following, previous = (op.slice(wide, [start], [stop], [1], [1]) for start, stop in ((2, _END), (0, -2)))
    transformed = linear(tensors, TRANSFORMATION, op.concat([following, words, previous], 2))
    length = op.gather(op.shape_of(ids), [1], np.int64(0))
    rows = op.unsqueeze(op.slice(tables["position"], [0], length, [1], [0]), [0])
    return op.add(op.add(transformed, rows), op.gather(tables["token_type"], types, np.int64(0)))


def _no_norm(tensors: Tensors, at: str, x: Node) -> Node:
    return op.add(op.multiply(x, constant(tensors[f"{at}.weight"])), constant(tensors[f"{at}.bias"]))
