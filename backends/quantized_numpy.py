"""The quantized BERT in plain numpy, packed: the twin that every engine's int8 is compared with.

Written for reading and for tests, not for speed; products are float32 of small integers, so exact to 1e-7.
"""

from __future__ import annotations

import numpy as np

from backends.base import Batch, Float32
from backends.quantized import QuantizedLinear, QuantizedModel


def infer(model: QuantizedModel, batch: Batch) -> Float32:
    """Start and end logits of every token, float32 [T, 2]."""
    x = _embeddings(model, batch)  # [T, H]
    for layer in range(model.config.num_hidden_layers):
        x = _layer(model, layer, x, batch)
    return x @ model.tensors["qa_outputs.weight"].T + model.tensors["qa_outputs.bias"]


def linear(layer: QuantizedLinear, x: Float32) -> Float32:
    """float32 [T, K] → [T, N] through uint8."""
    steps = layer.quantize(x).astype(np.float32) - np.float32(layer.input_zero_point)
    scale = layer.weight_scale * np.float32(layer.input_scale)
    return (steps @ layer.weight.T.astype(np.float32)) * scale + layer.bias


def gelu(x: Float32) -> Float32:
    """x times the normal distribution's Φ(x), through an erf good to 1.5e-7 (Abramowitz and Stegun, 7.1.26)."""
    size = np.abs(x) * np.float32(np.sqrt(0.5))
    t = 1 / (1 + np.float32(0.3275911) * size)
    series = np.zeros_like(t)
    for factor in (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592):
        series = (series + np.float32(factor)) * t
    erf = np.sign(x) * (1 - series * np.exp(-size * size))
    return (x * (1 + erf) / 2).astype(np.float32)  # type: ignore[no-any-return]


def _embeddings(model: QuantizedModel, batch: Batch) -> Float32:
    at = "bert.embeddings."
    ids = (("word", batch.input_ids), ("position", batch.position_ids), ("token_type", batch.token_type_ids))
    summed = sum(model.tensors[f"{at}{name}_embeddings.weight"][where] for name, where in ids)
    return _norm(model, at + "LayerNorm", np.asarray(summed))


def _norm(model: QuantizedModel, at: str, x: Float32) -> Float32:
    centred = x - x.mean(-1, keepdims=True)
    deviation = np.sqrt((centred * centred).mean(-1, keepdims=True) + np.float32(model.config.layer_norm_eps))
    return centred / deviation * model.tensors[f"{at}.weight"] + model.tensors[f"{at}.bias"]  # type: ignore[no-any-return]


def _layer(model: QuantizedModel, layer: int, x: Float32, batch: Batch) -> Float32:
    at = f"bert.encoder.layer.{layer}."
    context = _attention(model, linear(model.linear(layer, "qkv"), x), batch)
    attended = linear(model.linear(layer, "attention_output"), context)
    x = _norm(model, at + "attention.output.LayerNorm", attended + x)
    inner = gelu(linear(model.linear(layer, "ffn_inner"), x))
    return _norm(model, at + "output.LayerNorm", linear(model.linear(layer, "ffn_output"), inner) + x)


def _attention(model: QuantizedModel, qkv: Float32, batch: Batch) -> Float32:
    """[T, 3H] → [T, H], each sample attending to itself alone."""
    config = model.config
    split = qkv.reshape(len(qkv), 3, config.num_attention_heads, config.head_size)
    mixed = [_attend(split[start:stop]) for start, stop in zip(batch.cu_seqlens, batch.cu_seqlens[1:], strict=False)]
    return np.concatenate(mixed).reshape(len(qkv), config.hidden_size)


def _attend(sample: Float32) -> Float32:
    """[S, 3, heads, head] → [S, heads, head]."""
    query, key, value = sample.transpose(1, 2, 0, 3)  # each [heads, S, head]
    scores = query @ key.transpose(0, 2, 1) / np.float32(np.sqrt(query.shape[-1]))
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return (weights / weights.sum(-1, keepdims=True) @ value).transpose(1, 0, 2)  # type: ignore[no-any-return]
