"""What is measured: a geometry with random weights made on the device, and batches with SQuAD's lengths.

Weights go through the backend's own loaders, from a random engine or checkpoint of one layer that is copied on the
device, so that types and layouts are those of a run without the time of calibrating and of drawing 335 million values.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from backends.base import Batch
from backends.bert.config import LINEARS, BertConfig
from backends.formats import random_weights
from backends.gpu import engine, gemm_tuning, weights
from backends.gpu.weights import FLOATS, GpuLayer, GpuWeights, Product
from benchmarks.length_matched import LENGTHS, MEAN_LENGTH, squad_lengths
from foundation.arrays import Float32

_LONGEST = max(LENGTHS)
_SEED = 1
_SPREAD = 30.0  # standard deviation of bytes, about that of a layer with its greatest value at the greatest byte

_CONSTANTS: dict[str, Any] = {
    "zero_point": np.int8(0),
    "multiplier": np.float32(_SPREAD),
    "scale": np.float32(1 / (_SPREAD**2 * 32)),
}


def batch(tokens: int, vocabulary: int) -> Batch:
    """A batch of at most `tokens` tokens, nearly full, or one sample of `tokens` if it is no longer than SQuAD's."""
    found = [tokens] if tokens <= _LONGEST else squad_lengths(round(tokens / MEAN_LENGTH))
    while sum(found) > tokens:
        found.pop()
    return samples_of(found, vocabulary)


def samples_of(found: list[int], vocabulary: int) -> Batch:
    """A batch of samples of these lengths with random ids."""
    draw = np.random.default_rng(_SEED)
    return Batch.of([(draw.integers(0, vocabulary, length), np.zeros(length, np.int64)) for length in found])


def random_engine(config: BertConfig, precision: str, settings: dict[str, Any] | None = None) -> engine.Engine:
    """An engine of random bytes for which every product's results spread by about one."""
    draw = np.random.default_rng(_SEED)
    tensors = {name: _array(draw, name, shape, precision) for name, shape in engine.shapes(config).items()}
    choices = {gemm_tuning.DEFAULT: gemm_tuning.default(precision)}
    return engine.Engine(config, precision, tensors, settings or {}, choices)


def _array(draw: np.random.Generator, name: str, shape: tuple[int, ...], precision: str) -> Any:
    part = name.rpartition(".")[2]
    if name.startswith("layers.") and part in _CONSTANTS:
        return np.full(shape, _CONSTANTS[part])
    if part == "bias" or name.endswith("LayerNorm.weight"):
        return np.full(shape, part == "weight", np.float32)
    drawn = draw.standard_normal(shape, np.float32)
    return _bytes(drawn, precision) if name.startswith("layers.") else drawn * np.float32(0.02)


def _bytes(drawn: Float32, precision: str) -> Any:
    spread = torch.from_numpy(drawn * np.float32(_SPREAD)).clamp_(-127, 127)
    return spread.to(torch.float8_e4m3fn if precision == engine.FP8 else torch.int8).view(torch.int8).numpy()


def on_device(config: BertConfig, precision: str, device: torch.device) -> GpuWeights:
    """A model's weights; every layer has memory of its own, since a cache would hold a shared one."""
    one = replace(config, num_hidden_layers=1)
    if precision in FLOATS:
        tensors = random_weights.weights("random", one).tensors
        found = weights.from_floats(one, tensors, FLOATS[precision], device)
    else:
        found = weights.from_engine(random_engine(one, precision), device)
    layers = [found.layers[0], *(_copied(found.layers[0]) for _ in range(config.num_hidden_layers - 1))]
    return replace(found, config=config, layers=tuple(layers))


def _copied(layer: GpuLayer) -> GpuLayer:
    products: dict[str, Any] = {name: _copied_product(getattr(layer, name)) for name in LINEARS}
    return replace(layer, **products)


def _copied_product(product: Product) -> Product:
    return replace(product, weight=product.weight.clone())


def operand(product: Product, tokens: int) -> torch.Tensor:
    """Random input of a product, [tokens, K]: zeros draw less power and run faster."""
    weight = product.weight
    drawn = torch.randn(tokens, weight.shape[1], device=weight.device)
    return (drawn if product.scale is None else (drawn * _SPREAD).clamp_(-127, 127)).to(weight.dtype)
