"""A model in plain numpy, packed, in fp32 and int8: the reference for every engine's int8. BERT's encoder is here.

Written for reading and for tests, not for speed. Both precisions share one forward pass that takes the linear layer as
a function; int8 products are computed in float32 on small integers, exact to 1e-7.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from backends.base import Batch
from backends.bert import numpy_mobilebert
from backends.bert.architectures import implementation
from backends.bert.config import BertConfig
from backends.bert.encoder import EncoderConfig
from backends.bert.heads import HEADS
from backends.bert.numpy_attention import attention
from backends.formats.base import Tensors
from backends.quantization.int8_model import QuantizedLinear, QuantizedModel
from foundation.arrays import Float32

ApplyLinear = Callable[[int, str, Float32], Float32]  # (layer, one of `linears`, input [T, K]) → [T, N]
ApplyNorm = Callable[[str, Float32], Float32]  # (name of the LayerNorm, input [T, H]) → [T, H]


def infer(model: QuantizedModel, batch: Batch) -> Float32:
    """The logits of a quantized model: float32 [T, 2] for spans, [B, 2] for classes."""
    return infer_by(model.config, model.tensors, batch, lambda layer, name, x: linear(model.linear(layer, name), x))


def infer_float(config: EncoderConfig, tensors: Tensors, batch: Batch) -> Float32:
    """The logits of a float model, of the same shapes."""

    def dense(layer: int, name: str, x: Float32) -> Float32:
        weight, bias = config.linear_weights(tensors, layer, name)
        return x @ weight.T + bias

    return infer_by(config, tensors, batch, dense)


def infer_by(config: EncoderConfig, tensors: Mapping[str, Float32], batch: Batch, linear: ApplyLinear) -> Float32:
    """The logits with linear layers of one's own, of the same shapes."""
    encoder = implementation(_ENCODERS, config, "numpy")
    return _logits(config, tensors, encoder(config, tensors, batch, linear), batch)


def norm_by(tensors: Mapping[str, Float32], epsilon: float) -> ApplyNorm:
    """A LayerNorm function over the weights and biases in `tensors`."""
    return lambda at, x: normalized(x, epsilon) * tensors[f"{at}.weight"] + tensors[f"{at}.bias"]


def normalized(x: Float32, epsilon: float) -> Float32:
    """Each row with mean 0 and variance 1, float32 [T, H]."""
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred * centred).mean(-1, keepdims=True) + np.float32(epsilon))  # type: ignore[no-any-return]


def linear(layer: QuantizedLinear, x: Float32) -> Float32:
    """A quantized linear layer: float32 [T, K] → [T, N] through uint8."""
    steps = layer.quantize(x).astype(np.float32) - np.float32(layer.input_zero_point)
    scale = layer.weight_scale * np.float32(layer.input_scale)
    return (steps @ layer.weight.T.astype(np.float32)) * scale + layer.bias


def gelu(x: Float32) -> Float32:
    """x Φ(x), Φ being the standard normal CDF; erf has an error of at most 1.5e-7 (Abramowitz and Stegun, 7.1.26)."""
    size = np.abs(x) * np.float32(np.sqrt(0.5))
    t = 1 / (1 + np.float32(0.3275911) * size)
    series = np.zeros_like(t)
    for factor in (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592):
        series = (series + np.float32(factor)) * t
    erf = np.sign(x) * (1 - series * np.exp(-size * size))
    return (x * (1 + erf) / 2).astype(np.float32)  # type: ignore[no-any-return]


def encode(
    config: BertConfig, tensors: Mapping[str, Float32], batch: Batch, linear: ApplyLinear, norm: ApplyNorm
) -> Float32:
    """The output of the last layer, float32 [T, H]; `linear` and `norm` are called in the order of the computation."""
    ids = (("word", batch.input_ids), ("position", batch.position_ids), ("token_type", batch.token_type_ids))
    embedded = [tensors[f"bert.embeddings.{name}_embeddings.weight"][where] for name, where in ids]
    x = norm("bert.embeddings.LayerNorm", embedded[0] + embedded[1] + embedded[2])
    for layer in range(config.num_hidden_layers):
        at = f"bert.encoder.layer.{layer}."
        context = attention(linear(layer, "qkv", x), config.num_attention_heads, batch)
        x = norm(at + "attention.output.LayerNorm", linear(layer, "attention_output", context) + x)
        inner = gelu(linear(layer, "ffn_inner", x))
        x = norm(at + "output.LayerNorm", linear(layer, "ffn_output", inner) + x)
    return x


def _logits(config: EncoderConfig, tensors: Mapping[str, Float32], x: Float32, batch: Batch) -> Float32:
    head = HEADS[config.head]
    if not head.per_token:
        x = x[batch.cu_seqlens[:-1]]
    for name in head.dense:
        x = np.tanh(x @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"])
    return x @ tensors[f"{head.last}.weight"].T + tensors[f"{head.last}.bias"]


def _bert(config: Any, tensors: Mapping[str, Float32], batch: Batch, linear: ApplyLinear) -> Float32:
    return encode(config, tensors, batch, linear, norm_by(tensors, config.layer_norm_eps))


# By `model_type`: functions of (config, tensors, batch, linear) → the output of the last layer.
_ENCODERS: dict[str, Callable[[Any, Mapping[str, Float32], Batch, ApplyLinear], Float32]] = {
    "bert": _bert,
    "mobilebert": numpy_mobilebert.encode,
}
