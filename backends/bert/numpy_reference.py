"""BERT in plain numpy, packed, in fp32 and int8: the reference for every engine's int8.

Written for reading and for tests, not for speed. Both precisions share one forward pass that takes the linear layer as
a function; int8 products are computed in float32 on small integers, exact to 1e-7.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from backends.base import Batch
from backends.bert.config import BertConfig
from backends.bert.heads import HEADS
from backends.formats.base import Tensors
from backends.quantization.int8_model import SOURCES, QuantizedLinear, QuantizedModel
from foundation.arrays import Float32

ApplyLinear = Callable[[int, str, Float32], Float32]  # (layer, one of LINEARS, input [T, K]) → [T, N]
ApplyNorm = Callable[[str, Float32], Float32]  # (name of the LayerNorm, input [T, H]) → [T, H]


def infer(model: QuantizedModel, batch: Batch) -> Float32:
    """The logits of a quantized model: float32 [T, 2] for spans, [B, 2] for classes."""

    def dense(layer: int, name: str, x: Float32) -> Float32:
        return linear(model.linear(layer, name), x)

    norm = norm_by(model.tensors, model.config.layer_norm_eps)
    return _logits(model.config, model.tensors, encode(model.config, model.tensors, batch, dense, norm), batch)


def infer_float(config: BertConfig, tensors: Tensors, batch: Batch) -> Float32:
    """The logits of a float model, of the same shapes."""

    def dense(layer: int, name: str, x: Float32) -> Float32:
        sources = [f"bert.encoder.layer.{layer}.{source}" for source in SOURCES[name]]
        return np.concatenate([x @ tensors[f"{at}.weight"].T + tensors[f"{at}.bias"] for at in sources], axis=1)

    x = encode(config, tensors, batch, dense, norm_by(tensors, config.layer_norm_eps))
    return _logits(config, tensors, x, batch)


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
        context = _attention(config, linear(layer, "qkv", x), batch)
        x = norm(at + "attention.output.LayerNorm", linear(layer, "attention_output", context) + x)
        inner = gelu(linear(layer, "ffn_inner", x))
        x = norm(at + "output.LayerNorm", linear(layer, "ffn_output", inner) + x)
    return x


def _logits(config: BertConfig, tensors: Mapping[str, Float32], x: Float32, batch: Batch) -> Float32:
    head = HEADS[config.head]
    if not head.per_token:
        x = x[batch.cu_seqlens[:-1]]
    for name in head.dense:
        x = np.tanh(x @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"])
    return x @ tensors[f"{head.last}.weight"].T + tensors[f"{head.last}.bias"]


def _attention(config: BertConfig, qkv: Float32, batch: Batch) -> Float32:
    """[T, 3H] → [T, H]; each sample attends to its own tokens only."""
    split = qkv.reshape(len(qkv), 3, config.num_attention_heads, config.head_size)
    mixed = [_attend(split[start:stop]) for start, stop in zip(batch.cu_seqlens, batch.cu_seqlens[1:], strict=False)]
    return np.concatenate(mixed).reshape(len(qkv), config.hidden_size)


def _attend(sample: Float32) -> Float32:
    """[S, 3, heads, head] → [S, heads, head]."""
    query, key, value = sample.transpose(1, 2, 0, 3)  # each [heads, S, head]
    scores = query @ key.transpose(0, 2, 1) / np.float32(np.sqrt(query.shape[-1]))
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return (weights / weights.sum(-1, keepdims=True) @ value).transpose(1, 0, 2)  # type: ignore[no-any-return]
