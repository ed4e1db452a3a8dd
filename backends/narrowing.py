"""Weights without the heads and inner neurons that structured pruning made zero: the same sums, of fewer terms.

For engines on CPUs. Only shapes change: a layer's products are as wide as the tensors that it is given. Vectors, tiles
and stored blocks of channels take 64 at a time, so widths are filled up to a multiple of that with places that hold
zeros.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from backends.bert import layer_widths
from backends.bert.config import SOURCES, BertConfig
from backends.bert.encoder import EncoderConfig
from backends.bert.layer_widths import HEADS_READER, NEURONS_READER, LayerWidths, Widths
from backends.formats.base import Tensors
from backends.quantization.int8_model import QuantizedModel
from foundation.arrays import Int64

_CHANNELS = 64  # a cache line of bytes, and what tiles read at once
_INPUTS = ("attention_output", "ffn_output")  # products that read what is left away; the others write it
_BY_INPUT = ("weight", "input_smooth")  # tensors of a product with a column for each input, the last axis
_BY_OUTPUT = ("weight", "weight_scale", "bias", "scale", "shift")  # with a row for each output, the first axis
_Array = npt.NDArray[Any]


def floats(config: EncoderConfig, tensors: Tensors) -> tuple[Tensors, Widths | None]:
    """A checkpoint's tensors, and their widths if layers are narrow; those of other architectures as they are."""

    def names(layer: int, product: str) -> list[str]:
        return [config.layer_name(layer) + source for source in SOURCES[product]]

    def readers(layer: int) -> tuple[_Array, _Array]:
        return tensors[config.layer_name(layer) + HEADS_READER], tensors[config.layer_name(layer) + NEURONS_READER]

    return _narrowed(config, tensors, readers, names)


def engine(model: QuantizedModel) -> tuple[QuantizedModel, Widths | None]:
    """The same of a built engine."""

    def names(layer: int, product: str) -> list[str]:
        return [f"layers.{layer}.{product}", *([f"layers.{layer}.attention"] if product == "qkv" else [])]

    def readers(layer: int) -> tuple[_Array, _Array]:
        return model.linear(layer, "attention_output").weight, model.linear(layer, "ffn_output").weight

    tensors, widths = _narrowed(model.config, model.tensors, readers, names)
    return replace(model, tensors=tensors), widths


def _narrowed(
    config: EncoderConfig,
    tensors: Mapping[str, _Array],
    readers: Callable[[int], tuple[_Array, _Array]],
    names: Callable[[int, str], list[str]],
) -> tuple[dict[str, _Array], Widths | None]:
    """`names`: what the names of a layer's tensors of one product begin with."""
    found, layers = dict(tensors), []
    if not isinstance(config, BertConfig):
        return found, None
    for layer in range(config.num_hidden_layers):
        layers.append(_filled_up(config, layer_widths.of(config, *readers(layer))))
        for product, (places, whole) in _places(config, layers[-1]).items():
            parts, axis = (_BY_INPUT, -1) if product in _INPUTS else (_BY_OUTPUT, 0)
            for name in (f"{one}.{part}" for one in names(layer, product) for part in parts):
                if name in found:
                    found[name] = _taken(found[name], places, whole, axis)
    return found, layer_widths.together(config, layers)


def _filled_up(config: BertConfig, widths: LayerWidths) -> LayerWidths:
    heads = _CHANNELS // math.gcd(_CHANNELS, config.head_size)
    return LayerWidths(
        _multiple(widths.heads, config.num_attention_heads, heads),
        _multiple(widths.neurons, config.intermediate_size, _CHANNELS),
    )


def _multiple(used: Int64, total: int, multiple: int) -> Int64:
    """`used` and the first others, up to a multiple, at least one and at most all."""
    count = min(total, multiple * max(1, -(-len(used) // multiple)))
    others = np.setdiff1d(np.arange(total), used)
    return np.sort(np.concatenate([used, others[: count - len(used)]]))


def _places(config: BertConfig, widths: LayerWidths) -> dict[str, tuple[Int64, int]]:
    """By product: the channels or neurons that stay, and of how many; nothing for a product that stays as it is."""
    found: dict[str, tuple[Int64, int]] = {}
    if len(widths.heads) < config.num_attention_heads:
        channels = (widths.heads[:, None] * config.head_size + np.arange(config.head_size)).ravel()
        found |= dict.fromkeys(("qkv", "attention_output"), (channels, config.hidden_size))
    if len(widths.neurons) < config.intermediate_size:
        found |= dict.fromkeys(("ffn_inner", "ffn_output"), (widths.neurons, config.intermediate_size))
    return found


def _taken(tensor: _Array, places: Int64, whole: int, axis: int) -> _Array:
    """These places of each `whole` along an axis: queries, keys and values may be one tensor."""
    starts = range(0, tensor.shape[axis], whole)
    return np.take(tensor, np.concatenate([start + places for start in starts]), axis)
