"""A BERT graph as an exporter writes it: standard ONNX operators, weights inside; dense or sparse, fp32 or int8."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from backends.bert.checkpoints import read_tensors
from backends.bert.encoder import EncoderConfig
from backends.bert.heads import SPANS
from backends.bert.model import Model
from backends.formats.base import Tensors
from backends.formats.onnx_io_names import OUTPUTS


class _Graph:
    def __init__(self, tensors: Tensors, zeros: float, quantized: bool) -> None:
        self.tensors, self.zeros, self.quantized = tensors, zeros, quantized
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def constant(self, array: object) -> str:
        name = f"c{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        out = f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [out], **attributes))
        return out

    def linear(self, name: str, x: str) -> str:
        weight = self.tensors[f"{name}.weight"].T.copy()
        weight[np.abs(weight) < np.quantile(np.abs(weight), self.zeros)] = 0
        product = self.node("MatMul", x, self._quantized(weight) if self.quantized else self.constant(weight))
        return self.node("Add", product, self.constant(self.tensors[f"{name}.bias"]))

    def _quantized(self, weight: np.ndarray) -> str:
        scale = np.float32(np.abs(weight).max() / 127)
        rounded = (np.rint(weight / scale) + 128).astype(np.uint8)
        point = self.constant(np.uint8(128))
        return self.node("DequantizeLinear", self.constant(rounded), self.constant(scale), point)

    def norm(self, name: str, x: str, epsilon: float) -> str:
        weight, bias = (self.constant(self.tensors[f"{name}.{part}"]) for part in ("weight", "bias"))
        return self.node("LayerNormalization", x, weight, bias, axis=-1, epsilon=epsilon)


def _layer(graph: _Graph, config: EncoderConfig, at: str, x: str, hide: str) -> str:
    split = graph.constant(np.array([0, 0, config.num_attention_heads, config.head_size]))

    def heads(part: str, order: list[int]) -> str:
        return graph.node(
            "Transpose", graph.node("Reshape", graph.linear(f"{at}attention.self.{part}", x), split), perm=order
        )

    scores = graph.node("MatMul", heads("query", [0, 2, 1, 3]), heads("key", [0, 2, 3, 1]))
    scaled = graph.node("Mul", scores, graph.constant(np.float32(config.head_size**-0.5)))
    shares = graph.node("Softmax", graph.node("Add", scaled, hide), axis=-1)
    context = graph.node("Transpose", graph.node("MatMul", shares, heads("value", [0, 2, 1, 3])), perm=[0, 2, 1, 3])
    together = graph.node("Reshape", context, graph.constant(np.array([0, 0, config.hidden_size])))
    attended = graph.node("Add", graph.linear(f"{at}attention.output.dense", together), x)
    x = graph.norm(f"{at}attention.output.LayerNorm", attended, config.layer_norm_eps)
    inner = graph.linear(f"{at}intermediate.dense", x)
    half = graph.node("Mul", inner, graph.constant(np.float32(0.5)))
    error = graph.node("Erf", graph.node("Mul", inner, graph.constant(np.float32(0.5**0.5))))
    gelu = graph.node("Mul", half, graph.node("Add", error, graph.constant(np.float32(1))))
    out = graph.node("Add", graph.linear(f"{at}output.dense", gelu), x)
    return graph.norm(f"{at}output.LayerNorm", out, config.layer_norm_eps)


def write_plain_onnx(
    path: Path,
    model: Model,
    names: tuple[str, str] = ("input_mask", "segment_ids"),
    zeros: float = 0.0,
    quantized: bool = False,
) -> Path:
    """`names`: of the mask and token type inputs; `zeros`: the share of each linear weight that is pruned."""
    config = model.config
    assert config is not None
    graph = _Graph(read_tensors(model), zeros, quantized)
    at = "bert.embeddings."
    words, kinds = (graph.constant(graph.tensors[f"{at}{name}_embeddings.weight"]) for name in ("word", "token_type"))
    length = graph.node("Slice", graph.node("Shape", "input_ids"), *map(graph.constant, ([1], [2])))
    table = graph.constant(graph.tensors[f"{at}position_embeddings.weight"])
    positions = graph.node("Slice", table, graph.constant([0]), length, graph.constant([0]))
    x = graph.node("Add", graph.node("Gather", words, "input_ids"), graph.node("Gather", kinds, names[1]))
    x = graph.norm(f"{at}LayerNorm", graph.node("Add", x, positions), config.layer_norm_eps)
    shown = graph.node("Cast", graph.node("Unsqueeze", names[0], graph.constant([1, 2])), to=TensorProto.FLOAT)
    hidden = graph.node("Sub", graph.constant(np.float32(1)), shown)
    hide = graph.node("Mul", hidden, graph.constant(np.float32(-10_000)))
    for layer in range(config.num_hidden_layers):
        x = _layer(graph, config, f"bert.encoder.layer.{layer}.", x, hide)
    logits = graph.linear("qa_outputs", x)
    for which, name in enumerate(OUTPUTS[SPANS]):
        pair = [logits, graph.constant(np.int64(which))]
        graph.nodes.append(helper.make_node("Gather", pair, [name], axis=2))
    shape = ["batch", "sequence"]
    proto = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "bert",
            [helper.make_tensor_value_info(name, TensorProto.INT64, shape) for name in ("input_ids", *names)],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in OUTPUTS[SPANS]],
            graph.initializers,
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )
    onnx.checker.check_model(proto)
    onnx.save(proto, path)
    return path
