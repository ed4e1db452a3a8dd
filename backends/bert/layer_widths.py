"""How wide the layers of a BERT really are: structured pruning leaves the zeros of whole heads and neurons in place.

A head that the attention's output layer multiplies by zeros alone adds nothing to any output, whatever it computes; nor
does an inner neuron of which the layer's last product reads nothing. Both are therefore found in the columns of those
two weights, in float as in int8. Layers differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from backends.bert.config import BertConfig
from foundation.arrays import Int64

# The weights, below `bert.encoder.layer.{i}.`, of which columns say what is read.
HEADS_READER, NEURONS_READER = "attention.output.dense.weight", "output.dense.weight"


@dataclass(frozen=True)
class LayerWidths:
    """Which heads and inner neurons of a layer are read, in ascending order."""

    heads: Int64
    neurons: Int64


def of(config: BertConfig, heads_reader: npt.NDArray[Any], neurons_reader: npt.NDArray[Any]) -> LayerWidths:
    """The widths of a layer.

    Args:
        heads_reader: [H, H], the weight of the attention's output layer, heads next to each other along its inputs.
        neurons_reader: [H, I], that of the layer's last product.
    """
    channels = heads_reader.any(0).reshape(config.num_attention_heads, -1)
    return LayerWidths(np.flatnonzero(channels.any(1)), np.flatnonzero(neurons_reader.any(0)))


@dataclass(frozen=True, kw_only=True)
class Widths:
    """The layers of a narrowed model together, and what they multiply; also in JSON."""

    heads: int
    all_heads: int  # before
    neurons: int
    all_neurons: int
    product_weights: int  # weights that a token is multiplied with
    attention_channels: int  # of queries, and of keys and values

    def __str__(self) -> str:
        """Such as "heads 72 of 144, neurons 18,432 of 36,864"."""
        return f"heads {self.heads} of {self.all_heads}, neurons {self.neurons:,} of {self.all_neurons:,}"


def together(config: BertConfig, layers: Sequence[LayerWidths]) -> Widths | None:
    """The widths of all layers; None if they are as wide as `config` says."""
    heads, neurons = sum(len(one.heads) for one in layers), sum(len(one.neurons) for one in layers)
    all_heads, all_neurons = len(layers) * config.num_attention_heads, len(layers) * config.intermediate_size
    if (heads, neurons) == (all_heads, all_neurons):
        return None
    channels = heads * config.head_size
    return Widths(
        heads=heads,
        all_heads=all_heads,
        neurons=neurons,
        all_neurons=all_neurons,
        product_weights=config.hidden_size * (4 * channels + 2 * neurons),  # query, key, value and their output; two
        attention_channels=channels,
    )
