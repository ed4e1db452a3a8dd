"""How sparse a model is, counted in its weights: what a name or a card says of it is not looked at."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from backends.bert import checkpoints, layer_widths
from backends.bert.config import BertConfig
from backends.bert.encoder import EncoderConfig
from backends.bert.model import Model
from backends.formats.base import Tensors
from backends.pytorch_cpu import weight_zeros
from backends.pytorch_cpu.weight_zeros import PRUNED
from foundation.arrays import Float32

_WHOLE = 0.9  # of the zeros, in heads and neurons that are zero


def describe(model: Model) -> str | None:
    """The zeros of the encoder's weights, in all and by layer; None if the model is not pruned. Reads the weights.

    Raises:
        BackendError: they cannot be read.
    """
    read = checkpoints.read_weights(model)
    return of(read.config, read.tensors)


def of(config: EncoderConfig, tensors: Tensors) -> str | None:
    """The same of tensors."""
    layers = [list(_products(config, tensors, layer)) for layer in range(config.num_hidden_layers)]
    every = [np.asarray(weight != 0, np.int8) for layer in layers for weight in layer]
    share = 1 - sum(int(one.sum()) for one in every) / max(1, sum(one.size for one in every))
    if share < PRUNED:
        return None
    where = _whole(config, tensors, share) or weight_zeros.of_all(weight_zeros.of(one) for one in every).where
    each = [1 - sum(np.count_nonzero(one) for one in layer) / sum(one.size for one in layer) for layer in layers]
    return f"{share:.1%} of the encoder's weights are zero, {where}; by layer {', '.join(f'{one:.1%}' for one in each)}"


def _whole(config: EncoderConfig, tensors: Tensors, share: float) -> str | None:
    """The heads and neurons that are left, if nearly all of the share of zeros is in the others."""
    if not isinstance(config, BertConfig):
        return None
    readers = (layer_widths.HEADS_READER, layer_widths.NEURONS_READER)
    layers = [
        layer_widths.of(config, *(tensors[config.layer_name(layer) + name] for name in readers))
        for layer in range(config.num_hidden_layers)
    ]
    widths = layer_widths.together(config, layers)
    if widths is None or 1 - widths.product_weights / config.product_weights < _WHOLE * share:
        return None
    return f"in whole heads and neurons ({widths} are left)"


def _products(config: EncoderConfig, tensors: Tensors, layer: int) -> Iterator[Float32]:
    at = config.layer_name(layer)
    yield from (tensor for name, tensor in tensors.items() if name.startswith(at) and tensor.ndim == 2)
