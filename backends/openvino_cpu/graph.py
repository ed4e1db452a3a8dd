"""BERT as an OpenVINO model, written from its weights in OpenVINO's own operators.

No exporter or ONNX file is needed: constants share the memory of the arrays, and attention is written in the pattern
that OpenVINO's CPU plugin fuses, in float and after NNCF has quantized it. Inputs are named as in MLPerf's published
graph, so that a user's .onnx file and this one run through the same code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13 as op

from backends.bert.config import BertConfig
from backends.bert.heads import CLASSES
from backends.formats.base import Tensors
from backends.formats.onnx_io_names import INPUTS, OUTPUTS

Node = Any  # an output of a node: openvino's stubs have several types for it
_MASKED = np.float32(-10_000)  # added to the scores of padding: their exponential is 0


def build(config: BertConfig, tensors: Tensors) -> ov.Model:
    """The model in fp32: inputs int64 [B, S], outputs float32 [B, S] (spans) or [B, 2] (classes).

    It reads `tensors` in place: keep them as long as the model.
    """
    inputs = [op.parameter([-1, -1], np.int64, name) for name in INPUTS]
    for parameter, name in zip(inputs, INPUTS, strict=True):
        parameter.output(0).tensor.set_names({name})
    ids, mask, types = inputs
    hidden = _embeddings(config, tensors, ids, types)
    mask_scores = op.multiply(op.subtract(np.float32(1), op.convert(op.unsqueeze(mask, [1, 2]), "f32")), _MASKED)
    for layer in range(config.num_hidden_layers):
        at = f"bert.encoder.layer.{layer}."
        weight = {name.removeprefix(at): tensor for name, tensor in tensors.items() if name.startswith(at)}
        hidden = _layer(config, weight, hidden, mask_scores)
    return ov.Model(_head(config, tensors, hidden), inputs, "bert")


def _embeddings(config: BertConfig, tensors: Tensors, ids: Node, types: Node) -> Node:
    at = "bert.embeddings."
    words, positions, kinds = (
        _constant(tensors[f"{at}{name}_embeddings.weight"]) for name in ("word", "position", "token_type")
    )
    length = op.gather(op.shape_of(ids), [1], np.int64(0))
    rows = [op.gather(words, ids, np.int64(0)), op.gather(kinds, types, np.int64(0))]
    rows.append(op.unsqueeze(op.slice(positions, [0], length, [1], [0]), [0]))
    summed = op.add(op.add(rows[0], rows[1]), rows[2])
    return _norm(config, tensors, f"{at}LayerNorm", summed)


def _layer(config: BertConfig, weight: Tensors, hidden: Node, mask_scores: Node) -> Node:
    query, key, value = (
        _heads(config, _linear(weight, f"attention.self.{part}", hidden)) for part in ("query", "key", "value")
    )
    scores = op.multiply(op.matmul(query, key, False, True), np.float32(config.head_size**-0.5))
    context = op.matmul(op.softmax(op.add(scores, mask_scores), -1), value, False, False)  # [B, heads, S, size]
    together = op.reshape(op.transpose(context, [0, 2, 1, 3]), [0, 0, config.hidden_size], True)
    attended = _linear(weight, "attention.output.dense", together)
    hidden = _norm(config, weight, "attention.output.LayerNorm", op.add(attended, hidden))
    inner = op.gelu(_linear(weight, "intermediate.dense", hidden), "erf")
    return _norm(config, weight, "output.LayerNorm", op.add(_linear(weight, "output.dense", inner), hidden))


def _heads(config: BertConfig, x: Node) -> Node:
    """[B, S, H] -> [B, heads, S, size]"""
    split = op.reshape(x, [0, 0, config.num_attention_heads, config.head_size], True)
    return op.transpose(split, [0, 2, 1, 3])


def _linear(weight: Mapping[str, Any], name: str, x: Node) -> Node:
    product = op.matmul(x, _constant(weight[f"{name}.weight"]), False, True)
    return op.add(product, _constant(weight[f"{name}.bias"]))


def _norm(config: BertConfig, weight: Tensors, name: str, x: Node) -> Node:
    normed = op.mvn(x, [-1], True, config.layer_norm_eps, "inside_sqrt")
    return op.add(op.multiply(normed, _constant(weight[f"{name}.weight"])), _constant(weight[f"{name}.bias"]))


def _head(config: BertConfig, tensors: Tensors, hidden: Node) -> list[Node]:
    logits = _classes(tensors, hidden) if config.head == CLASSES else _spans(tensors, hidden)
    for node, name in zip(logits, OUTPUTS[config.head], strict=True):
        node.output(0).tensor.set_names({name})
        node.set_friendly_name(name)
    return logits


def _spans(tensors: Tensors, hidden: Node) -> list[Node]:
    both = op.split(_linear(tensors, "qa_outputs", hidden), np.int64(2), 2)
    return [op.squeeze(both.output(which), [2]) for which in range(2)]


def _classes(tensors: Tensors, hidden: Node) -> list[Node]:
    first = op.gather(hidden, np.int64(0), np.int64(1))  # [B, H]
    return [_linear(tensors, "classifier", op.tanh(_linear(tensors, "bert.pooler.dense", first)))]


def _constant(array: Any) -> Node:
    weights = np.ascontiguousarray(array, np.float32)  # read-only memory, such as a mapped file, cannot be shared
    return op.constant(weights, shared_memory=weights.flags.writeable)
