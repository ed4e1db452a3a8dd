"""Random weights of a published geometry, the same every time: for measuring speed without a model."""

from __future__ import annotations

import zlib

import numpy as np

from backends.bert.architectures import Geometry
from backends.formats.base import ModelWeights
from foundation.arrays import Float32

RANDOM_SEED = 2018


def weights(spec: str, config: Geometry) -> ModelWeights:
    """BERT's initialization (normal, sigma 0.02; LayerNorm one and zero), with a seed for each tensor.

    `spec` is part of the seed.
    """
    return ModelWeights(config, {name: _tensor(f"{spec}/{name}", shape) for name, shape in config.shapes().items()})


def _tensor(name: str, shape: tuple[int, ...]) -> Float32:
    if name.endswith("LayerNorm.weight"):
        return np.ones(shape, np.float32)
    if name.endswith(".bias"):
        return np.zeros(shape, np.float32)
    rng = np.random.default_rng([RANDOM_SEED, zlib.crc32(name.encode())])
    tensor = rng.standard_normal(shape, np.float32)
    tensor *= np.float32(0.02)
    return tensor
