"""A model in OpenVINO's own operators, written from its weights: BERT here, others in their own modules.

No exporter or ONNX file is needed: constants share the memory of the arrays, and attention is written in the pattern
that OpenVINO's CPU plugin fuses, in float and after NNCF has quantized it. Inputs are named as in MLPerf's published
graph, so that a user's .onnx file and this one run through the same code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13 as op

from backends.bert.architectures import implementation
from backends.bert.config import BertConfig
from backends.bert.encoder import EncoderConfig
from backends.formats.base import Tensors
from backends.formats.onnx_io_names import INPUTS
from backends.openvino_cpu import mobilebert_graph
from backends.openvino_cpu.graph_parts import Node, attention, constant, head, linear, mask_scores


def build(config: EncoderConfig, tensors: Tensors) -> ov.Model:
    """The model in fp32: inputs int64 [B, S], outputs float32 [B, S] (spans) or [B, 2] (classes).

    It reads `tensors` in place: keep them as long as the model.
    """
    inputs = [op.parameter([-1, -1], np.int64, name) for name in INPUTS]
    for parameter, name in zip(inputs, INPUTS, strict=True):
        parameter.output(0).tensor.set_names({name})
    hidden = implementation(_ENCODERS, config, "backend openvino")(config, tensors, *inputs)
    return ov.Model(head(config, tensors, hidden), inputs, config.model_type)


def _bert(config: BertConfig, tensors: Tensors, ids: Node, mask: Node, types: Node) -> Node:
    hidden, scores = _embeddings(config, tensors, ids, types), mask_scores(mask)
    for layer in range(config.num_hidden_layers):
        at = config.layer_name(layer)
        weight = {name.removeprefix(at): tensor for name, tensor in tensors.items() if name.startswith(at)}
        hidden = _layer(config, weight, hidden, scores)
    return hidden


def _embeddings(config: BertConfig, tensors: Tensors, ids: Node, types: Node) -> Node:
    at = "bert.embeddings."
    words, positions, kinds = (
        constant(tensors[f"{at}{name}_embeddings.weight"]) for name in ("word", "position", "token_type")
    )
    length = op.gather(op.shape_of(ids), [1], np.int64(0))
    rows = [op.gather(words, ids, np.int64(0)), op.gather(kinds, types, np.int64(0))]
    rows.append(op.unsqueeze(op.slice(positions, [0], length, [1], [0]), [0]))
    summed = op.add(op.add(rows[0], rows[1]), rows[2])
    return _norm(config, tensors, f"{at}LayerNorm", summed)


def _layer(config: BertConfig, weight: Tensors, hidden: Node, scores: Node) -> Node:
    query, key, value = (linear(weight, f"attention.self.{part}", hidden) for part in ("query", "key", "value"))
    attended = linear(weight, "attention.output.dense", attention(config, query, key, value, scores))
    hidden = _norm(config, weight, "attention.output.LayerNorm", op.add(attended, hidden))
    inner = op.gelu(linear(weight, "intermediate.dense", hidden), "erf")
    return _norm(config, weight, "output.LayerNorm", op.add(linear(weight, "output.dense", inner), hidden))


def _norm(config: BertConfig, weight: Tensors, name: str, x: Node) -> Node:
    normed = op.mvn(x, [-1], True, config.layer_norm_eps, "inside_sqrt")
    return op.add(op.multiply(normed, constant(weight[f"{name}.weight"])), constant(weight[f"{name}.bias"]))


# By `model_type`: functions of (config, tensors, ids, mask, types) → the last layer's output, [B, S, H].
_ENCODERS: dict[str, Callable[[Any, Tensors, Node, Node, Node], Node]] = {
    "bert": _bert,
    "mobilebert": mobilebert_graph.encoder,
}
