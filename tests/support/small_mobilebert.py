"""A small MobileBERT: sizes that differ from each other, and heads that the native kernels take."""

from __future__ import annotations

import numpy as np

from backends.bert.mobilebert import MobileBertConfig
from backends.formats.base import Tensors

TINY = MobileBertConfig(
    vocab_size=300,
    hidden_size=128,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=192,
    max_position_embeddings=400,
    embedding_size=32,
    intra_bottleneck_size=64,
    num_feedforward_networks=3,
)


def random_tensors(seed: int, config: MobileBertConfig = TINY) -> Tensors:
    """Without a norm, weights must keep the size of what they multiply: their sigma falls with the root of inputs."""
    rng = np.random.default_rng(seed)
    found: Tensors = {}
    for name, shape in config.shapes().items():
        sigma = 0.1 if len(shape) == 1 else 1.0 if "_embeddings." in name else 0.6 * shape[1] ** -0.5
        found[name] = (rng.standard_normal(shape) * sigma + name.endswith("LayerNorm.weight")).astype(np.float32)
    return found
