"""Reads config.json: which architecture a model has, and its sizes.

The number of attention heads cannot be read from a shape. Without a config.json it is known only for the published
geometries; it is never guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path

from backends.bert import heads
from backends.bert.architectures import ARCHITECTURES, RANDOM_GEOMETRIES, Geometry
from backends.bert.encoder import EncoderConfig
from backends.bert.heads import HEADS
from backends.errors import BackendError
from foundation import file_kinds
from foundation.bounded_readers import SETTINGS_BYTES, UnreadableError, read_json
from foundation.typed_json import decode

CONFIGS = ("config.json", "bert_config.json")  # Hugging Face's name, and MLPerf's
_MOST = {"num_hidden_layers": 1024, "type_vocab_size": 1 << 16}  # limits of sizes, far above any published model's
_MOST_OF_OTHERS = 1 << 24
_TITLES = " or ".join(one.title for one in ARCHITECTURES.values())


def files(path: Path) -> list[Path]:
    """The config files next to the file `path`, or in the directory `path`, the one that counts first.

    Optimum keeps graphs in a directory `onnx` below the model's own, where the config stays.
    """
    folder = path if path.is_dir() else path.parent
    folders = (folder, folder.parent) if folder.name == "onnx" else (folder,)
    return [one / name for one in folders for name in CONFIGS if (one / name).is_file()]


def find_config(path: Path) -> Geometry | None:
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


def read_config(path: Path) -> Geometry:
    """The configuration in a config.json.

    Raises:
        BackendError: it is not that of an encoder of `architectures.ARCHITECTURES` as it computes here (`only`), or its
            numbers are impossible.
    """
    try:
        data = read_json(path, SETTINGS_BYTES)
        kind = decode(_Kind, data)
        architecture = ARCHITECTURES.get(kind.model_type)
        if architecture is None:
            raise BackendError(
                f"expected a {_TITLES} in {path}, found model_type {kind.model_type!a}, another model: its weights do "
                "not fit their layers. Type another --model."
            )
        config = decode(architecture, {name: value for name, value in data.items() if name != "head"})
    except UnreadableError as error:
        raise _unusable(path, error) from error
    head = heads.of_architectures(kind.architectures)
    other = [
        f"{name} {data[name]!a}" for name, value in config.only.items() if data.get(name, value) not in (value, None)
    ]
    if other:
        expected = ", ".join(f"{name} {value!a}" for name, value in config.only.items())
        raise BackendError(
            f"expected a {config.title} encoder ({expected}) in {path}, found {', '.join(other)}. Type another --model."
        )
    if head not in config.supported_heads:
        titles = " or ".join(HEADS[name].title for name in config.supported_heads)
        raise BackendError(
            f"expected a {config.title} for {titles} in {path}, found one for {HEADS[head].title}. Type another "
            "--model."
        )
    _check(path, config)
    return replace(config, head=head)


def _unusable(path: Path, error: UnreadableError) -> BackendError:
    other = file_kinds.at(path)
    found = error if other in (None, "JSON") else other
    return BackendError(
        f"expected BERT's config.json at {path}, found: {found}. Type another --model, or correct the file."
    )


def _check(path: Path, config: EncoderConfig) -> None:
    sizes = {one.name: getattr(config, one.name) for one in fields(config) if one.type == "int"}
    wrong = [f"{name} {size}" for name, size in sizes.items() if not 0 < size <= _MOST.get(name, _MOST_OF_OTHERS)]
    if not 0 < config.layer_norm_eps < 1:
        wrong.append(f"layer_norm_eps {config.layer_norm_eps}")
    wrong = wrong or config.wrong_sizes()
    if wrong:
        raise BackendError(
            f"expected the sizes of a {config.title} in {path}, and a hidden_size that the attention heads divide, "
            f"found {', '.join(wrong)}. Correct the file."
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


def of_shapes(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> Geometry:
    """The geometry of tensors with these shapes, under Hugging Face's names.

    Raises:
        BackendError: it is not a published geometry, so its number of attention heads is unknown.
    """
    found = _Sizes.of(shapes)
    for known in RANDOM_GEOMETRIES.values():
        if _Sizes.of(known.shapes()) == found:
            word, position, kind = found.rows(shapes)
            return replace(known, vocab_size=word, max_position_embeddings=position, type_vocab_size=kind)
    raise BackendError(
        f"expected a config.json next to {path} with the number of attention heads, found none (hidden size "
        f"{found.hidden}, {found.layers} layers, intermediate size {found.inner}). Copy the model's config.json there."
    )


@dataclass(frozen=True)
class _Sizes:
    """What distinguishes published geometries, by the shapes of their tensors."""

    model_type: str  # the first part of the tensors' names; "" if there is none that is known
    hidden: int
    layers: int
    inner: int

    @classmethod
    def of(cls, shapes: Mapping[str, tuple[int, ...]]) -> _Sizes:
        kind = next((one for one in ARCHITECTURES if f"{one}.{_TABLE.format('word')}" in shapes), "")
        _, hidden = _matrix(shapes, f"{kind}.{_TABLE.format('token_type')}")
        inner, _ = _matrix(shapes, f"{kind}.encoder.layer.0.intermediate.dense.weight")
        layers = {name.split(".")[3] for name in shapes if name.startswith(f"{kind}.encoder.layer.")}
        return cls(kind, hidden, len(layers), inner)

    def rows(self, shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, int, int]:
        """The rows of the three embedding tables: words, positions, token types."""
        word, position, kind = (_matrix(shapes, f"{self.model_type}.{_TABLE.format(name)}")[0] for name in _TABLES)
        return word, position, kind


_TABLES = ("word", "position", "token_type")
_TABLE = "embeddings.{}_embeddings.weight"


def _matrix(shapes: Mapping[str, tuple[int, ...]], name: str) -> tuple[int, int]:
    """(rows, columns) of a matrix; zeros if there is none of this name."""
    shape = shapes.get(name, ())
    return (shape[0], shape[1]) if len(shape) == 2 else (0, 0)
