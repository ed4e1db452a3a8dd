"""BERT's sizes, its tensors and the matrix products of its layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from backends.bert.encoder import EncoderConfig, LayerLinear, affine
from backends.bert.heads import HEADS

LINEARS = ("qkv", "attention_output", "ffn_inner", "ffn_output")
# Their names in a checkpoint, below `bert.encoder.layer.{i}.`; several are stacked along the outputs.
SOURCES: dict[str, tuple[str, ...]] = {
    "qkv": ("attention.self.query", "attention.self.key", "attention.self.value"),
    "attention_output": ("attention.output.dense",),
    "ffn_inner": ("intermediate.dense",),
    "ffn_output": ("output.dense",),
}


@dataclass(frozen=True, kw_only=True)
class BertConfig(EncoderConfig):
    """BERT's geometry, under the names of Hugging Face's config.json, and its head."""

    hidden_act: str = "gelu"

    model_type: ClassVar[str] = "bert"
    title: ClassVar[str] = "BERT"
    only: ClassVar[Mapping[str, object]] = {
        "hidden_act": "gelu",
        "position_embedding_type": "absolute",
        "is_decoder": False,
    }
    supported_heads: ClassVar[tuple[str, ...]] = tuple(HEADS)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every tensor of BERT and its head, by name."""
        hidden, inner = self.hidden_size, self.intermediate_size
        found: dict[str, tuple[int, ...]] = {
            "bert.embeddings.word_embeddings.weight": (self.vocab_size, hidden),
            "bert.embeddings.position_embeddings.weight": (self.max_position_embeddings, hidden),
            "bert.embeddings.token_type_embeddings.weight": (self.type_vocab_size, hidden),
            **affine("bert.embeddings.LayerNorm", hidden),
            **HEADS[self.head].shapes(hidden),
        }
        for layer in range(self.num_hidden_layers):
            at = self.layer_name(layer)
            for part in SOURCES["qkv"]:
                found |= affine(at + part, hidden, hidden)
            found |= affine(at + "attention.output.dense", hidden, hidden)
            found |= affine(at + "intermediate.dense", inner, hidden) | affine(at + "output.dense", hidden, inner)
            for norm in ("attention.output.LayerNorm", "output.LayerNorm"):
                found |= affine(at + norm, hidden)
        return found

    def linears(self) -> dict[str, LayerLinear]:
        """The four products of a layer, under the names of LINEARS."""
        hidden, inner = self.hidden_size, self.intermediate_size
        sizes = ((hidden, 3 * hidden), (hidden, hidden), (hidden, inner), (inner, hidden))
        return {
            name: LayerLinear(inputs, outputs, SOURCES[name])
            for name, (inputs, outputs) in zip(LINEARS, sizes, strict=True)
        }


RANDOM_GEOMETRIES = {
    "bert-large": BertConfig(
        vocab_size=30522, hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096
    ),
    "bert-base": BertConfig(
        vocab_size=30522, hidden_size=768, num_hidden_layers=12, num_attention_heads=12, intermediate_size=3072
    ),
    "minilm-l12-h384": BertConfig(
        vocab_size=30522, hidden_size=12 * 32, num_hidden_layers=12, num_attention_heads=12, intermediate_size=1536
    ),
    "minilm-l6-h384": BertConfig(
        vocab_size=30522, hidden_size=12 * 32, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536
    ),
    "bert-tiny": BertConfig(
        vocab_size=30522, hidden_size=128, num_hidden_layers=2, num_attention_heads=2, intermediate_size=512
    ),
}
