"""What every architecture says of itself: its sizes, its tensors, and the matrix products of one layer.

An architecture is a subclass of `EncoderConfig` in a module of this package and a row of `architectures.ARCHITECTURES`.
Loading, calibration and built engines know it by this contract alone; what a layer computes with its products is in a
module of each engine, which has a table of them by `model_type` (docs/design/adding-an-architecture.md).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from backends.bert.heads import SPANS
from foundation.arrays import Float32

LinearInputs = dict[tuple[int, str], Float32]  # (layer, one of `linears`) → float32 [T, K], no padding


@dataclass(frozen=True)
class LayerLinear:
    """One matrix product of every layer: y = x Wᵀ + b."""

    inputs: int
    outputs: int
    sources: tuple[str, ...]  # its parts in a checkpoint below the layer's name, each with .weight and .bias
    balanced: bool = True  # in int8, its input may be divided by a number for each channel
    readers: tuple[str, ...] = ()  # the sources that read x, where others are multiplied with them; (): all, stacked


@dataclass(frozen=True, kw_only=True)
class EncoderConfig(ABC):
    """The sizes of a model, under the names of Hugging Face's config.json, and its head."""

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12
    head: str = SPANS  # a key of heads.HEADS

    model_type: ClassVar[str]  # its name in config.json, and the first part of its tensors' names
    title: ClassVar[str]  # in messages
    only: ClassVar[Mapping[str, object]]  # keys of config.json that change what the weights mean → the value supported
    supported_heads: ClassVar[tuple[str, ...]]  # of heads.HEADS

    @property
    def description(self) -> str:
        """Such as "MobileBERT, 24 layers, hidden size 512"."""
        return f"{self.title}, {self.num_hidden_layers} layers, hidden size {self.hidden_size}"

    @property
    def attention_size(self) -> int:
        """Channels of queries, of keys and of values."""
        return self.hidden_size

    @property
    def head_size(self) -> int:
        """Channels of one attention head."""
        return self.attention_size // self.num_attention_heads

    @property
    def product_weights(self) -> int:
        """Weights that a token is multiplied with: those of the linear layers."""
        return self.num_hidden_layers * sum(one.inputs * one.outputs for one in self.linears().values())

    @property
    def operations_per_token(self) -> int:
        """Multiplications and additions in the linear layers; those of attention come on top."""
        return 2 * self.product_weights

    @property
    def attention_channels(self) -> int:
        """Channels of queries, of keys and of values, of all layers together."""
        return self.num_hidden_layers * self.attention_size

    @abstractmethod
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every tensor of the model and its head, by name."""

    @abstractmethod
    def linears(self) -> dict[str, LayerLinear]:
        """The matrix products of a layer, by their names in an engine, in the order of the computation."""

    def layer_name(self, layer: int) -> str:
        """What the names of a layer's tensors begin with."""
        return f"{self.model_type}.encoder.layer.{layer}."

    def linear_weights(self, tensors: Mapping[str, Float32], layer: int, name: str) -> tuple[Float32, Float32]:
        """The weight [N, K] and the bias [N] of one of `linears`: its sources, stacked along N."""
        at = [self.layer_name(layer) + source for source in self.linears()[name].sources]
        weight, bias = (np.concatenate([tensors[f"{one}.{part}"] for one in at]) for part in ("weight", "bias"))
        return weight, bias

    def wrong_sizes(self) -> list[str]:
        """What is impossible about sizes that are each possible alone, such as "hidden_size 60 for 7 heads"."""
        if self.attention_size % self.num_attention_heads:
            return [f"hidden_size {self.attention_size} for {self.num_attention_heads} heads"]
        return []


def affine(name: str, outputs: int, inputs: int | None = None) -> dict[str, tuple[int, ...]]:
    """The shapes of a linear layer's weight and bias, or without `inputs` of a norm's, by name."""
    weight = (outputs,) if inputs is None else (outputs, inputs)
    return {f"{name}.weight": weight, f"{name}.bias": (outputs,)}
