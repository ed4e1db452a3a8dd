"""MobileBERT (arXiv:2004.02984): its sizes, its tensors and the matrix products of its layers.

A layer takes x, 512 wide, through a bottleneck of 128 channels and back:

    r = NoNorm(W x)                              bottleneck.input, the residual inside of the bottleneck
    q, k = queries and keys of NoNorm(W x)       bottleneck.attention, shared by both
    a = NoNorm(W attention(q, k, v = W x) + r)
    a = NoNorm(W relu(W a) + a)                  num_feedforward_networks times
    x = NoNorm(W a + x)                          output.bottleneck

NoNorm is an elementwise weight and bias; in checkpoints it is named LayerNorm. Nothing but linear layers stands between
x and r, q, k and v, so they are one product here, `bottleneck`: the weights are multiplied when they are read. It has
an eighth more operations than its parts, and saves a product and a rounding of its input.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from backends.bert.encoder import EncoderConfig, LayerLinear, affine
from backends.bert.heads import HEADS, SPANS
from foundation.arrays import Float32

TRIGRAM = 3  # tokens that an embedding is made of: the next one, the token itself, the previous one
_EMBEDDINGS = "mobilebert.embeddings"
TRANSFORMATION = f"{_EMBEDDINGS}.embedding_transformation"
# Of `bottleneck`, in the order of its outputs: queries, keys, values, the residual; then what they are multiplied by.
_BOTTLENECK = (
    *("attention.self.query", "attention.self.key", "attention.self.value", "bottleneck.input.dense"),
    *("bottleneck.input.LayerNorm", "bottleneck.attention.dense", "bottleneck.attention.LayerNorm"),
)
_READERS = ("attention.self.value", "bottleneck.input.dense", "bottleneck.attention.dense")  # of x


@dataclass(frozen=True, kw_only=True)
class MobileBertConfig(EncoderConfig):
    """MobileBERT's geometry, under the names of Hugging Face's config.json, and its head."""

    hidden_act: str = "relu"
    embedding_size: int
    intra_bottleneck_size: int
    num_feedforward_networks: int

    model_type: ClassVar[str] = "mobilebert"
    title: ClassVar[str] = "MobileBERT"
    only: ClassVar[Mapping[str, object]] = {
        "hidden_act": "relu",
        "normalization_type": "no_norm",
        "trigram_input": True,
        "use_bottleneck": True,
        "use_bottleneck_attention": False,
        "key_query_shared_bottleneck": True,
        "is_decoder": False,
    }
    supported_heads: ClassVar[tuple[str, ...]] = (SPANS,)

    @property
    def attention_size(self) -> int:
        """Channels of queries, keys and values: those of the bottleneck."""
        return self.intra_bottleneck_size

    @property
    def product_weights(self) -> int:
        """Those of the layers, and of the product that makes an embedding of three tokens' words."""
        return super().product_weights + TRIGRAM * self.embedding_size * self.hidden_size

    @property
    def feedforwards(self) -> dict[str, str]:
        """The feed-forward networks of a layer in their order: name in an engine → name in a checkpoint."""
        last = self.num_feedforward_networks - 1
        return {f"ffn_{number}": f"ffn.{number}." for number in range(last)} | {f"ffn_{last}": ""}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every tensor of MobileBERT and its head, by name."""
        hidden = self.hidden_size
        found: dict[str, tuple[int, ...]] = {
            f"{_EMBEDDINGS}.word_embeddings.weight": (self.vocab_size, self.embedding_size),
            f"{_EMBEDDINGS}.position_embeddings.weight": (self.max_position_embeddings, hidden),
            f"{_EMBEDDINGS}.token_type_embeddings.weight": (self.type_vocab_size, hidden),
            **affine(TRANSFORMATION, hidden, TRIGRAM * self.embedding_size),
            **affine(f"{_EMBEDDINGS}.LayerNorm", hidden),
            **HEADS[self.head].shapes(hidden),
        }
        for layer in range(self.num_hidden_layers):
            found |= self._layer_shapes(self.layer_name(layer))
        return found

    def _layer_shapes(self, at: str) -> dict[str, tuple[int, ...]]:
        hidden, width, inner = self.hidden_size, self.intra_bottleneck_size, self.intermediate_size
        found: dict[str, tuple[int, ...]] = {}
        for name in ("input", "attention"):
            found |= affine(f"{at}bottleneck.{name}.dense", width, hidden)
            found |= affine(f"{at}bottleneck.{name}.LayerNorm", width)
        for name, inputs in (("query", width), ("key", width), ("value", hidden)):
            found |= affine(f"{at}attention.self.{name}", width, inputs)
        found |= affine(f"{at}attention.output.dense", width, width) | affine(f"{at}attention.output.LayerNorm", width)
        for below in self.feedforwards.values():
            found |= affine(f"{at}{below}intermediate.dense", inner, width)
            found |= affine(f"{at}{below}output.dense", width, inner) | affine(f"{at}{below}output.LayerNorm", width)
        found |= affine(f"{at}output.bottleneck.dense", hidden, width)
        return found | affine(f"{at}output.bottleneck.LayerNorm", hidden)

    def linears(self) -> dict[str, LayerLinear]:
        """`bottleneck`, `attention_output`, `ffn_0_inner`, `ffn_0_output` to the last network, `output_bottleneck`."""
        hidden, width, inner = self.hidden_size, self.intra_bottleneck_size, self.intermediate_size
        found = {
            "bottleneck": LayerLinear(hidden, 4 * width, _BOTTLENECK, readers=_READERS),
            "attention_output": LayerLinear(width, width, ("attention.output.dense",)),
        }
        for name, below in self.feedforwards.items():
            found[f"{name}_inner"] = LayerLinear(width, inner, (f"{below}intermediate.dense",))
            found[f"{name}_output"] = LayerLinear(inner, width, (f"{below}output.dense",))
        return found | {"output_bottleneck": LayerLinear(width, hidden, ("output.bottleneck.dense",))}

    def linear_weights(self, tensors: Mapping[str, Float32], layer: int, name: str) -> tuple[Float32, Float32]:
        """The weight [N, K] and the bias [N] of one of `linears`; NoNorms before queries and keys are inside."""
        if name != "bottleneck":
            return super().linear_weights(tensors, layer, name)
        at = self.layer_name(layer)

        def read(part: str) -> tuple[Float32, Float32]:
            return tensors[f"{at}{part}.weight"].astype(np.float64), tensors[f"{at}{part}.bias"].astype(np.float64)

        def narrow(part: str) -> tuple[Float32, Float32]:
            """NoNorm of a linear layer, as one linear layer."""
            (weight, bias), (scale, shift) = read(f"bottleneck.{part}.dense"), read(f"bottleneck.{part}.LayerNorm")
            return weight * scale[:, None], bias * scale + shift

        shared, shared_bias = narrow("attention")
        pairs = [(weight @ shared, weight @ shared_bias + bias) for weight, bias in map(read, _BOTTLENECK[:2])]
        pairs += [read("attention.self.value"), narrow("input")]
        weight, bias = (np.concatenate(parts).astype(np.float32) for parts in zip(*pairs, strict=True))
        return weight, bias


_PUBLISHED = MobileBertConfig(
    vocab_size=30522,
    hidden_size=512,
    num_hidden_layers=24,
    num_attention_heads=4,
    intermediate_size=512,
    embedding_size=128,
    intra_bottleneck_size=128,
    num_feedforward_networks=4,
)
RANDOM_GEOMETRIES = {"mobilebert": _PUBLISHED, "mobilebert-14": replace(_PUBLISHED, num_hidden_layers=14)}
