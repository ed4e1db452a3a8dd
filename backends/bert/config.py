"""BERT's geometry, from config.json or from the shapes of its tensors.

The number of attention heads cannot be read from a shape. Without a config.json it is known only for the published
geometries; it is never guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path

from backends.bert import heads
from backends.bert.heads import HEADS, SPANS
from backends.errors import BackendError
from foundation.bounded_readers import SETTINGS_BYTES, read_json

CONFIGS = ("config.json", "bert_config.json")  # Hugging Face's name, and MLPerf's


@dataclass(frozen=True, kw_only=True)
class BertConfig:
    """BERT's geometry, under the names of Hugging Face's config.json, and its head."""

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12
    hidden_act: str = "gelu"
    head: str = SPANS  # a key of heads.HEADS

    @property
    def head_size(self) -> int:
        """Channels of one attention head."""
        return self.hidden_size // self.num_attention_heads

    @property
    def operations_per_token(self) -> int:
        """Multiplications and additions in the linear layers; attention adds a few per cent, which are not counted."""
        weights = self.hidden_size * (4 * self.hidden_size + 2 * self.intermediate_size)
        return 2 * weights * self.num_hidden_layers

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every tensor of BERT and its head, by name."""
        hidden, inner = self.hidden_size, self.intermediate_size
        found: dict[str, tuple[int, ...]] = {
            "bert.embeddings.word_embeddings.weight": (self.vocab_size, hidden),
            "bert.embeddings.position_embeddings.weight": (self.max_position_embeddings, hidden),
            "bert.embeddings.token_type_embeddings.weight": (self.type_vocab_size, hidden),
            "bert.embeddings.LayerNorm.weight": (hidden,),
            "bert.embeddings.LayerNorm.bias": (hidden,),
            **HEADS[self.head].shapes(hidden),
        }
        linear = {
            "attention.self.query": (hidden, hidden),
            "attention.self.key": (hidden, hidden),
            "attention.self.value": (hidden, hidden),
            "attention.output.dense": (hidden, hidden),
            "intermediate.dense": (inner, hidden),
            "output.dense": (hidden, inner),
        }
        for layer in range(self.num_hidden_layers):
            at = f"bert.encoder.layer.{layer}."
            for name, (rows, columns) in linear.items():
                found |= {f"{at}{name}.weight": (rows, columns), f"{at}{name}.bias": (rows,)}
            for norm in ("attention.output.LayerNorm", "output.LayerNorm"):
                found |= {f"{at}{norm}.weight": (hidden,), f"{at}{norm}.bias": (hidden,)}
        return found


RANDOM_GEOMETRIES = {
    "bert-large": BertConfig(
        vocab_size=30522, hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096
    ),
    "bert-base": BertConfig(
        vocab_size=30522, hidden_size=768, num_hidden_layers=12, num_attention_heads=12, intermediate_size=3072
    ),
    "bert-tiny": BertConfig(
        vocab_size=30522, hidden_size=128, num_hidden_layers=2, num_attention_heads=2, intermediate_size=512
    ),
}


def find_config(path: Path) -> BertConfig | None:
    """The config file next to the file `path`, or in the directory `path`; None if there is none.

    Raises:
        BackendError: it is not the configuration of a BERT.
    """
    folder = path if path.is_dir() else path.parent
    found = [folder / name for name in CONFIGS if (folder / name).is_file()]
    return read_config(found[0]) if found else None


def read_config(path: Path) -> BertConfig:
    """The configuration in a config.json.

    Raises:
        BackendError: it is not that of a BERT with exact GELU, or its sizes are impossible.
    """
    try:
        data = read_json(path, SETTINGS_BYTES)
        known = {field.name: data[field.name] for field in fields(BertConfig) if field.name in data}
        config = BertConfig(**known)
    except (ValueError, TypeError) as error:
        raise BackendError(f"expected BERT's config.json at {path}, found: {error}.") from error
    config = replace(config, head=heads.of_architectures(data.get("architectures")))
    if data.get("model_type", "bert") != "bert" or config.hidden_act != "gelu":
        found = f"model_type {data.get('model_type')!r}, hidden_act {config.hidden_act!r}"
        raise BackendError(f"expected a BERT with exact GELU in {path}, found {found}.")
    sizes = {field.name: getattr(config, field.name) for field in fields(BertConfig) if field.type == "int"}
    wrong = [f"{name} {size!r}" for name, size in sizes.items() if not (isinstance(size, int) and size > 0)]
    if wrong or config.hidden_size % config.num_attention_heads:
        found = ", ".join(wrong) or f"hidden_size {config.hidden_size} for {config.num_attention_heads} heads"
        raise BackendError(
            f"expected positive sizes in {path} and a hidden_size that the attention heads divide, found {found}."
        )
    return config


def of_shapes(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> BertConfig:
    """The geometry of tensors with these shapes, under Hugging Face's names.

    Raises:
        BackendError: it is not a published geometry, so its number of attention heads is unknown.
    """
    word, position, kind = (
        shapes.get(f"bert.embeddings.{name}_embeddings.weight", (0, 0)) for name in ("word", "position", "token_type")
    )
    inner = shapes.get("bert.encoder.layer.0.intermediate.dense.weight", (0, 0))
    layers = sum(name.endswith(".intermediate.dense.weight") for name in shapes)
    sizes = (word[-1], layers, inner[0])
    for known in RANDOM_GEOMETRIES.values():
        if sizes == (known.hidden_size, known.num_hidden_layers, known.intermediate_size):
            return replace(known, vocab_size=word[0], max_position_embeddings=position[0], type_vocab_size=kind[0])
    raise BackendError(
        f"expected a config.json next to {path} with the number of attention heads, found none (hidden size "
        f"{sizes[0]}, {sizes[1]} layers, intermediate size {sizes[2]}). Copy the model's config.json there."
    )
