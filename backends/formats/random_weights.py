"""Random weights of a published geometry, the same every time: for measuring speed without a model.

`random:bert-large?sparsity=0.8,pattern=block4` are those of `random:bert-large` with 80 % of the encoder's blocks zero,
in every layer, and with `pattern=structured` 80 % of its heads and inner neurons, as `training.prune` leaves them: what
a pruned model's speed depends on.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from backends.bert.architectures import Geometry
from backends.bert.config import SOURCES, BertConfig
from backends.bert.model import RANDOM_PREFIX
from backends.errors import BackendError
from backends.formats.base import ModelWeights, Tensors
from foundation.arrays import Float32

RANDOM_SEED = 2018
# Weights that are zero together, (outputs, inputs): SparseML's block4, Intel's 4x1, and single ones.
BLOCKS = {"block4": (1, 4), "4x1": (4, 1), "single": (1, 1)}
STRUCTURED = "structured"  # whole heads and inner neurons
PATTERNS = (*BLOCKS, STRUCTURED)
_SETTINGS = ("sparsity", "pattern")


@dataclass(frozen=True)
class Pruning:
    """Which share of the encoder's weights is zero, and which are zero together."""

    sparsity: float
    pattern: str  # one of PATTERNS

    def apply(self, name: str, weight: Float32) -> None:
        """Set blocks of `weight` [N, K] to zero, in place; `name` is part of the seed."""
        rows, columns = BLOCKS[self.pattern]
        blocks = weight.reshape(weight.shape[0] // rows, rows, weight.shape[1] // columns, columns)
        drawn = _generator(f"{name}/{self.pattern}").random((blocks.shape[0], blocks.shape[2]), np.float32)
        blocks.transpose(0, 2, 1, 3)[drawn < self.sparsity] = 0


def parse(spec: str) -> tuple[str, Pruning | None]:
    """`random:<geometry>[?sparsity=<share>[,pattern=<name>]]`: the geometry, and the pruning; the pattern is block4.

    Raises:
        BackendError: there are other settings, or their values are impossible.
    """
    name, mark, text = spec.removeprefix(RANDOM_PREFIX).partition("?")
    if not mark:
        return name, None
    settings = dict(part.partition("=")[::2] for part in text.split(","))
    pattern = settings.get("pattern", "block4")
    try:
        share = float(settings["sparsity"])
    except (KeyError, ValueError):
        share = -1.0
    if not 0 <= share < 1 or pattern not in PATTERNS or set(settings) - set(_SETTINGS):
        raise BackendError(
            f"expected a sparsity from 0 to below 1 and a pattern of {', '.join(PATTERNS)}, found --model {spec}. Type "
            f"such as: --model '{RANDOM_PREFIX}{name}?sparsity=0.8,pattern=block4'"
        )
    return name, Pruning(share, pattern)


def require_fit(spec: str, config: Geometry) -> None:
    """Raise BackendError for whole heads of another architecture than BERT, or a sparsity that leaves none of them."""
    geometry, pruning = parse(spec)
    if pruning is None or pruning.pattern != STRUCTURED:
        return
    found, again = "", f"--model '{RANDOM_PREFIX}{geometry}?sparsity={pruning.sparsity:g},pattern=block4'"
    if not isinstance(config, BertConfig):
        found = f"a {config.title}"
    elif (heads := config.num_attention_heads) == round(pruning.sparsity * heads):
        most = int(100 * (heads - 1) / heads) / 100
        found, again = f"none of {heads}", f"--model '{RANDOM_PREFIX}{geometry}?sparsity={most:g},pattern=structured'"
    if found:
        raise BackendError(
            f"expected a BERT with heads that pattern=structured leaves, found {found} for --model {spec}. "
            f"Type: {again}"
        )


def weights(spec: str, config: Geometry) -> ModelWeights:
    """BERT's initialization (normal, sigma 0.02; LayerNorm one and zero), with a seed for each tensor.

    The geometry's name in `spec` is part of the seed, its pruning is not.
    """
    geometry, pruning = parse(spec)
    at = f"{RANDOM_PREFIX}{geometry}/"
    tensors = {name: _tensor(at + name, shape) for name, shape in config.shapes().items()}
    if pruning and pruning.pattern == STRUCTURED:
        require_fit(spec, config)
        assert isinstance(config, BertConfig)
        for layer in range(config.num_hidden_layers):
            _prune_layer(tensors, config, layer, pruning.sparsity, at)
    elif pruning:
        for name, tensor in tensors.items():
            if ".encoder." in name and tensor.ndim == 2:
                pruning.apply(at + name, tensor)
    return ModelWeights(config, tensors)


def _prune_layer(tensors: Tensors, config: BertConfig, layer: int, share: float, seed: str) -> None:
    """Set this share of a layer's heads and of its inner neurons to zero: what writes them, and what reads them."""
    at = config.layer_name(layer)
    for written, read, count in (("qkv", "attention_output", config.num_attention_heads),
                                 ("ffn_inner", "ffn_output", config.intermediate_size)):  # fmt: skip
        gone = _generator(f"{seed}{at}{written}/{STRUCTURED}").permutation(count)[: round(share * count)]
        for source in SOURCES[written]:
            tensor = tensors[f"{at}{source}.weight"]
            tensor.reshape(count, -1)[gone] = 0
        (reader,) = SOURCES[read]
        tensor = tensors[f"{at}{reader}.weight"]
        tensor.reshape(len(tensor), count, -1)[:, gone] = 0


def _tensor(name: str, shape: tuple[int, ...]) -> Float32:
    if name.endswith("LayerNorm.weight"):
        return np.ones(shape, np.float32)
    if name.endswith(".bias"):
        return np.zeros(shape, np.float32)
    tensor = _generator(name).standard_normal(shape, np.float32)
    tensor *= np.float32(0.02)
    return tensor


def _generator(name: str) -> np.random.Generator:
    return np.random.default_rng([RANDOM_SEED, zlib.crc32(name.encode())])
