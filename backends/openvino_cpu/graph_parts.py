"""What the OpenVINO models of all architectures share: linear layers, attention, heads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13 as op

from backends.bert.encoder import EncoderConfig
from backends.bert.heads import CLASSES
from backends.formats.base import Tensors
from backends.formats.onnx_io_names import OUTPUTS

Node = Any  # an output of a node: openvino's stubs have several types for it
_MASKED = np.float32(-10_000)  # added to the scores of padding: their exponential is 0


def mask_scores(mask: Node) -> Node:
    """int64 [B, S] -> float32 [B, 1, 1, S], to be added to scores."""
    return op.multiply(op.subtract(np.float32(1), op.convert(op.unsqueeze(mask, [1, 2]), "f32")), _MASKED)


def attention(config: EncoderConfig, query: Node, key: Node, value: Node, mask: Node) -> Node:
    """Queries, keys and values [B, S, N] and `mask_scores` -> the context, [B, S, N]; N is less in a narrow layer."""
    width = _width(query)
    query, key, value = (heads(config, one) for one in (query, key, value))
    scores = op.multiply(op.matmul(query, key, False, True), np.float32(config.head_size**-0.5))
    context = op.matmul(op.softmax(op.add(scores, mask), -1), value, False, False)  # [B, heads, S, size]
    return op.reshape(op.transpose(context, [0, 2, 1, 3]), [0, 0, width], True)


def heads(config: EncoderConfig, x: Node) -> Node:
    """[B, S, N] -> [B, heads, S, size]."""
    split = op.reshape(x, [0, 0, _width(x) // config.head_size, config.head_size], True)
    return op.transpose(split, [0, 2, 1, 3])


def _width(x: Node) -> int:
    """N of [B, S, N]."""
    port = x if isinstance(x, ov.Output) else x.output(0)
    return int(port.partial_shape[2].get_length())


def linear(weight: Mapping[str, Any], name: str, x: Node) -> Node:
    """The linear layer of this name, which reads its weights in place."""
    product = op.matmul(x, constant(weight[f"{name}.weight"]), False, True)
    return op.add(product, constant(weight[f"{name}.bias"]))


def head(config: EncoderConfig, tensors: Tensors, hidden: Node) -> list[Node]:
    """The model's outputs, from the last layer's, [B, S, H]."""
    logits = _classes(tensors, hidden) if config.head == CLASSES else _spans(tensors, hidden)
    for node, name in zip(logits, OUTPUTS[config.head], strict=True):
        node.output(0).tensor.set_names({name})
        node.set_friendly_name(name)
    return logits


def _spans(tensors: Tensors, hidden: Node) -> list[Node]:
    both = op.split(linear(tensors, "qa_outputs", hidden), np.int64(2), 2)
    return [op.squeeze(both.output(which), [2]) for which in range(2)]


def _classes(tensors: Tensors, hidden: Node) -> list[Node]:
    first = op.gather(hidden, np.int64(0), np.int64(1))  # [B, H]
    return [linear(tensors, "classifier", op.tanh(linear(tensors, "bert.pooler.dense", first)))]


def constant(array: Any) -> Node:
    """A constant that shares the array's memory: keep it as long as the model."""
    weights = np.ascontiguousarray(array, np.float32)  # read-only memory, such as a mapped file, cannot be shared
    return op.constant(weights, shared_memory=weights.flags.writeable)
