"""A small BERT in Hugging Face's format, with weights large enough for errors to be visible."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
from safetensors.numpy import save_file

from backends.base import Batch
from backends.bert.architectures import Geometry
from backends.bert.checkpoints import read_tensors
from backends.bert.config import BertConfig
from backends.bert.encoder import EncoderConfig
from backends.bert.heads import HEADS
from backends.bert.model import Model
from backends.formats.base import Tensors
from backends.onnxruntime_cpu import graph as onnx_graph
from backends.quantization.int8_model import QuantizedLinear, QuantizedModel, engine_shapes

SMALL = BertConfig(vocab_size=300, hidden_size=64, num_hidden_layers=3, num_attention_heads=4, intermediate_size=160)


def random_tensors(config: EncoderConfig, seed: int) -> Tensors:
    rng = np.random.default_rng(seed)
    return {
        name: (rng.standard_normal(shape) * 0.15 + name.endswith("LayerNorm.weight")).astype(np.float32)
        for name, shape in config.shapes().items()
    }


def write_model(directory: Path, config: EncoderConfig, tensors: Tensors) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    named = {"model_type": config.model_type, "architectures": [HEADS[config.head].architecture], **asdict(config)}
    (directory / "config.json").write_text(json.dumps(named), encoding="utf-8")
    save_file(tensors, directory / "model.safetensors")
    return directory


def random_batch(lengths: list[int], seed: int = 0, vocab_size: int = SMALL.vocab_size) -> Batch:
    rng = np.random.default_rng(seed)
    return Batch.of([(rng.integers(0, vocab_size, n), (np.arange(n) > n // 3).astype(np.int64)) for n in lengths])


def write_onnx(path: Path, model: Model, names: dict[str, str]) -> Path:
    """The graph of `model` with its weights inside, as an exporter would write it."""
    assert model.config is not None
    proto, weights = onnx_graph.build(model.config, read_tensors(model))
    for initializer in proto.graph.initializer:
        if initializer.name in weights:
            initializer.CopyFrom(onnx.numpy_helper.from_array(weights[initializer.name], initializer.name))
    for value in proto.graph.input:
        value.name = names.get(value.name, value.name)
    for node in proto.graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = names.get(name, name)
    onnx.checker.check_model(proto)
    onnx.save(proto, path)
    return path


def round_to_nearest(config: Geometry, tensors: Tensors) -> QuantizedModel:
    """Every linear layer quantized, with inputs assumed to be within ±8 instead of a calibration."""
    found: dict[str, np.ndarray] = {}
    for layer in range(config.num_hidden_layers):
        for name in config.linears():
            weight, bias = config.linear_weights(tensors, layer, name)
            scale = np.maximum(np.abs(weight).max(1) / 127, 1e-12)
            rounded = np.rint(weight / scale[:, None]).astype(np.int8)
            linear = QuantizedLinear(
                weight=rounded,
                weight_scale=scale,
                bias=bias,
                input_scale=16 / 255,
                input_zero_point=128,
                input_smooth=np.ones(weight.shape[1], np.float32),
            )
            found |= linear.tensors(f"layers.{layer}.{name}")
    rest = {name: tensor for name, tensor in tensors.items() if name in engine_shapes(config)}
    return QuantizedModel(config, rest | found, {"made": "for a test"})
