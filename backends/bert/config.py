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
from foundation import file_kinds
from foundation.bounded_readers import SETTINGS_BYTES, UnreadableError, read_json
from foundation.typed_json import decode

CONFIGS = ("config.json", "bert_config.json")  # Hugging Face's name, and MLPerf's
# What every BERT here computes: with other values the same weights give other answers.
_ONLY = {"hidden_act": "gelu", "position_embedding_type": "absolute", "is_decoder": False}
_MOST = {"num_hidden_layers": 1024, "type_vocab_size": 1 << 16}  # limits of sizes, far above any published model's
_MOST_OF_OTHERS = 1 << 24


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
    def product_weights(self) -> int:
        """Weights that a token is multiplied with: those of the linear layers."""
        return self.hidden_size * (4 * self.hidden_size + 2 * self.intermediate_size) * self.num_hidden_layers

    @property
    def operations_per_token(self) -> int:
        """Multiplications and additions in the linear layers; `attention_operations` come on top."""
        return 2 * self.product_weights

    def attention_operations(self, squared_tokens: int) -> int:
        """Multiplications and additions in attention's two products, of samples with this sum of squared lengths."""
        return 2 * 2 * self.hidden_size * self.num_hidden_layers * squared_tokens

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


def files(path: Path) -> list[Path]:
    """The config files next to the file `path`, or in the directory `path`, the one that counts first.

    Optimum keeps graphs in a directory `onnx` below the model's own, where the config stays.
    """
    folder = path if path.is_dir() else path.parent
    folders = (folder, folder.parent) if folder.name == "onnx" else (folder,)
    return [one / name for one in folders for name in CONFIGS if (one / name).is_file()]


def find_config(path: Path) -> BertConfig | None:
    """The configuration next to the file `path`, or in the directory `path`; None if there is none.

    Raises:
        BackendError: it is not the configuration of a BERT.
    """
    found = files(path)
    return read_config(found[0]) if found else None


def class_order(path: Path) -> tuple[int, int]:
    """The outputs of the classifier in the file `path` for negative and positive, by their names: (1, 0) if they are
    the other way round. Names that do not say which is which leave them as they are. Raises as `class_names`."""
    return heads.class_order(class_names(path)) or (0, 1)


def read_config(path: Path) -> BertConfig:
    """The configuration in a config.json.

    Raises:
        BackendError: it is not that of a BERT encoder with exact GELU and absolute positions, or its numbers are
            impossible.
    """
    try:
        data = read_json(path, SETTINGS_BYTES)
        kind = decode(_Kind, data)
        if kind.model_type != "bert":
            raise BackendError(
                f"expected a BERT in {path}, found model_type {kind.model_type!a}, another model: its weights do not "
                "fit BERT's layers. Type another --model."
            )
        config = decode(BertConfig, {name: value for name, value in data.items() if name != "head"})
    except UnreadableError as error:
        raise _unusable(path, error) from error
    other = [f"{name} {data[name]!a}" for name, value in _ONLY.items() if data.get(name, value) not in (value, None)]
    if other:
        raise BackendError(
            f"expected a BERT encoder with exact GELU and absolute positions in {path}, found {', '.join(other)}. Type "
            "another --model."
        )
    _check(path, config)
    return replace(config, head=heads.of_architectures(kind.architectures))


def _unusable(path: Path, error: UnreadableError) -> BackendError:
    other = file_kinds.at(path)
    found = error if other in (None, "JSON") else other
    return BackendError(
        f"expected BERT's config.json at {path}, found: {found}. Type another --model, or correct the file."
    )


def _check(path: Path, config: BertConfig) -> None:
    sizes = {one.name: getattr(config, one.name) for one in fields(BertConfig) if one.type == "int"}
    wrong = [f"{name} {size}" for name, size in sizes.items() if not 0 < size <= _MOST.get(name, _MOST_OF_OTHERS)]
    if not 0 < config.layer_norm_eps < 1:
        wrong.append(f"layer_norm_eps {config.layer_norm_eps}")
    if not wrong and config.hidden_size % config.num_attention_heads:
        wrong = [f"hidden_size {config.hidden_size} for {config.num_attention_heads} heads"]
    if wrong:
        raise BackendError(
            f"expected the sizes of a BERT in {path}, and a hidden_size that the attention heads divide, found "
            f"{', '.join(wrong)}. Correct the file."
        )


@dataclass(frozen=True)
class _Kind:
    """The keys of config.json that say what model it is; MLPerf's has none of them."""

    model_type: str = "bert"
    architectures: object = None
    id2label: Mapping[int, str] | None = None
    label2id: Mapping[str, int] | None = None


def class_names(path: Path) -> tuple[str, ...]:
    """The names of a classifier's outputs, in their order, by the config of the file `path`; empty if it has none.

    transformers reads id2label; label2id is its reverse. Raises BackendError as `find_config`, for both.
    """
    found = files(path)
    if not found:
        return ()
    try:
        kind = decode(_Kind, read_json(found[0], SETTINGS_BYTES))
    except UnreadableError as error:
        raise _unusable(found[0], error) from error
    names = kind.id2label or {number: name for name, number in (kind.label2id or {}).items()}
    return tuple(name for _, name in sorted(names.items()))


def of_shapes(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> BertConfig:
    """The geometry of tensors with these shapes, under Hugging Face's names.

    Raises:
        BackendError: it is not a published geometry, so its number of attention heads is unknown.
    """
    matrices = {name: shape for name, shape in shapes.items() if len(shape) == 2}
    word, position, kind = (
        matrices.get(f"bert.embeddings.{name}_embeddings.weight", (0, 0)) for name in ("word", "position", "token_type")
    )
    inner = matrices.get("bert.encoder.layer.0.intermediate.dense.weight", (0, 0))
    layers = sum(name.endswith(".intermediate.dense.weight") for name in shapes)
    sizes = (word[-1], layers, inner[0])
    for known in RANDOM_GEOMETRIES.values():
        if sizes == (known.hidden_size, known.num_hidden_layers, known.intermediate_size):
            return replace(known, vocab_size=word[0], max_position_embeddings=position[0], type_vocab_size=kind[0])
    raise BackendError(
        f"expected a config.json next to {path} with the number of attention heads, found none (hidden size "
        f"{sizes[0]}, {sizes[1]} layers, intermediate size {sizes[2]}). Copy the model's config.json there."
    )
