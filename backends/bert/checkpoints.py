"""Finds the model that a user names, reads its weights into numpy arrays, and identifies them by a digest.

Every engine takes an `EncoderConfig` and a mapping of Hugging Face tensor names to float32 arrays, so a new weight
format is one more reader in `formats` and nothing else.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from backends import formats
from backends.bert import config_files
from backends.bert.architectures import RANDOM_GEOMETRIES
from backends.bert.config_files import class_order
from backends.bert.heads import CLASSES, HEADS, SPANS
from backends.bert.model import GRAPH_SUFFIX, RANDOM_PREFIX, Model
from backends.errors import BackendError
from backends.formats import onnx_signature, random_weights
from backends.formats.base import ModelWeights, Tensors
from backends.formats.random_weights import RANDOM_SEED


def find_model(spec: str, head: str = SPANS) -> Model:
    """The model that `spec` names: a directory or file of weights, an .onnx file, or `random:<geometry>`.

    Args:
        head: the head of random weights, a key of `heads.HEADS`; other models bring theirs.

    Raises:
        BackendError: there is no such model, or its config.json is not one of ours.
    """
    if spec.startswith(RANDOM_PREFIX):
        return _find_random(spec, head)
    path = Path(spec)
    with suppress(OSError):  # raised for names that no file system accepts
        file = formats.find(path)
        if file is not None:
            return Model(spec, None if file.suffix == GRAPH_SUFFIX else config_files.find_config(file), file)
    accepted = (
        f"'demo', a directory with config.json and weights, a file of weights next to its config.json, an .onnx file, "
        f"or {_random_names()}"
    )
    raise BackendError(f"expected a model ({accepted}), found none at {spec!r}. Check --model.")


def _random_names() -> str:
    return ", ".join(RANDOM_PREFIX + name for name in RANDOM_GEOMETRIES)


def _find_random(spec: str, head: str) -> Model:
    name, _ = random_weights.parse(spec)
    config = RANDOM_GEOMETRIES.get(name) or RANDOM_GEOMETRIES.get(f"{name}-h384")  # as MiniLM's are called for short
    if config is None:
        raise BackendError(f"expected one of {_random_names()}, found --model {spec}.")
    random_weights.require_fit(spec, config)
    return Model(spec, replace(config, head=head), None)


def with_config(model: Model) -> Model:
    """The same model with its config, which is read from its weights if no config.json has it."""
    return model if model.config else replace(model, config=read_weights(model).config)


def with_signature(model: Model) -> Model:
    """The same model, an ONNX graph, with what it takes and gives when it runs as it is.

    Raises:
        BackendError: it does not take and give what a BERT does.
    """
    assert model.path is not None  # a graph has a path
    return replace(model, graph=onnx_signature.read(model.path))


def read_weights(model: Model) -> ModelWeights:
    """The model's weights with their geometry and ranges.

    Raises:
        BackendError: the file is missing, truncated or not a BERT, or a tensor is missing, unknown or has the wrong
            shape; the message names it.
    """
    if model.path is not None:
        return _classes_in_order(model.path, formats.of(model.path).read(model.path))
    assert model.config is not None  # random weights have a config
    return random_weights.weights(model.spec, model.config)


def class_names(model: Model) -> tuple[str, ...]:
    """The names of a classifier's outputs by its config.json; empty if it has none, or the model is another one."""
    return config_files.class_names(model.path) if model.path is not None and model.head == CLASSES else ()


def _classes_in_order(path: Path, weights: ModelWeights) -> ModelWeights:
    """The model with the negative class first: rows of its last layer change places if their names are reversed."""
    if weights.config.head != CLASSES or class_order(path) == (0, 1):
        return weights
    last, turned = HEADS[CLASSES].last, list(class_order(path))
    rows = {f"{last}.{part}": weights.tensors[f"{last}.{part}"][turned] for part in ("weight", "bias")}
    return replace(weights, tensors=weights.tensors | rows)


def read_tensors(model: Model) -> Tensors:
    """The tensors only, float32, with the names and shapes of `EncoderConfig.shapes`. Raises as `read_weights`."""
    return read_weights(model).tensors


def has_ranges(model: Model) -> bool:
    """True if the model has its own scales for int8; checked without reading its weights."""
    return model.path is not None and formats.of(model.path).has_ranges(model.path)


def digest(model: Model) -> str:
    """sha256 of the weight files and their config.json, or of the name and seed of random weights."""
    if model.path is None:
        return hashlib.sha256(f"{model.spec} {model.head} {RANDOM_SEED}".encode()).hexdigest()
    sha = hashlib.sha256()
    for path in files(model):
        with path.open("rb") as file:
            sha.update(hashlib.file_digest(file, "sha256").digest())
    return sha.hexdigest()


def files(model: Model) -> tuple[Path, ...]:
    """The weight files, after their config.json if there is one; empty for random weights."""
    if model.path is None:
        return ()
    return (*config_files.files(model.path), *weight_files(model))


def weight_files(model: Model) -> tuple[Path, ...]:
    """The files that the weights are read from; empty for random weights."""
    return () if model.path is None else formats.of(model.path).files(model.path)
