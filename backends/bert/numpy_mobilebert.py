"""MobileBERT's encoder in plain numpy, packed; `numpy_reference` has what is around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from backends.base import Batch
from backends.bert.mobilebert import TRANSFORMATION, MobileBertConfig
from backends.bert.numpy_attention import attention
from foundation.arrays import Float32

ApplyLinear = Callable[[int, str, Float32], Float32]  # (layer, one of `linears`, input [T, K]) → [T, N]


def encode(config: MobileBertConfig, tensors: Mapping[str, Float32], batch: Batch, linear: ApplyLinear) -> Float32:
    """The output of the last layer, float32 [T, H]; `linear` is called in the order of the computation."""

    def no_norm(at: str, x: Float32) -> Float32:
        return x * tensors[f"{at}.LayerNorm.weight"] + tensors[f"{at}.LayerNorm.bias"]

    x = no_norm("mobilebert.embeddings", _embedded(tensors, batch))
    for layer in range(config.num_hidden_layers):
        at = config.layer_name(layer)
        wide = linear(layer, "bottleneck", x)
        qkv, residual = np.split(wide, [3 * config.intra_bottleneck_size], axis=1)
        context = attention(qkv, config.num_attention_heads, batch)
        a = no_norm(f"{at}attention.output", linear(layer, "attention_output", context) + residual)
        for name, below in config.feedforwards.items():
            inner = np.maximum(linear(layer, f"{name}_inner", a), 0)
            a = no_norm(f"{at}{below}output", linear(layer, f"{name}_output", inner) + a)
        x = no_norm(f"{at}output.bottleneck", linear(layer, "output_bottleneck", a) + x)
    return x


def _embedded(tensors: Mapping[str, Float32], batch: Batch) -> Float32:
    """The sum of a token's embeddings: of its word and its neighbours' words, its position and its type."""
    words = tensors["mobilebert.embeddings.word_embeddings.weight"][batch.input_ids]
    last, first = batch.cu_seqlens[1:] - 1, batch.cu_seqlens[:-1]
    following, previous = np.roll(words, -1, axis=0), np.roll(words, 1, axis=0)
    following[last], previous[first] = 0, 0  # beyond a sample are zeros
    trigram = np.concatenate([following, words, previous], axis=1)
    summed = trigram @ tensors[f"{TRANSFORMATION}.weight"].T + tensors[f"{TRANSFORMATION}.bias"]
    summed = summed + tensors["mobilebert.embeddings.position_embeddings.weight"][batch.position_ids]
    return summed + tensors["mobilebert.embeddings.token_type_embeddings.weight"][batch.token_type_ids]
