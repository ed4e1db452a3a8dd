"""A model by what the user calls it: where it lies, its weights in plain numpy arrays, and what identifies them.

Everything downstream (the ONNX graph, the PyTorch module, later engines) takes a `BertConfig` and a mapping of
Hugging Face tensor names to float32 arrays, so that a new weight format is one more reader in `formats` and nothing
else.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from backends import formats
from backends.bert import config as bert_config
from backends.bert.config import RANDOM_GEOMETRIES
from backends.bert.heads import SPANS
from backends.bert.model import GRAPH_SUFFIX, RANDOM_PREFIX, Model
from backends.errors import BackendError
from backends.formats import onnx_graph_walk, onnx_io_names, random_weights
from backends.formats.base import ModelWeights, Tensors
from backends.formats.random_weights import RANDOM_SEED


def find_model(spec: str, head: str = SPANS) -> Model:
    """The model that `spec` names: a directory or file of weights, an .onnx file, or `random:<geometry>`.

    Args:
        head: what random weights, which can have any head, get; of `heads.HEADS`.

    Raises:
        BackendError: there is no such thing, or its config.json is not BERT's.
    """
    if spec.startswith(RANDOM_PREFIX):
        return _find_random(spec, head)
    path = Path(spec)
    with suppress(OSError):  # a name that no file system takes
        file = formats.find(path)
        if file is not None:
            return Model(spec, None if file.suffix == GRAPH_SUFFIX else bert_config.beside(file), file)
    wanted = (
        f"'demo', a directory with config.json and weights, a file of weights beside its config.json, an .onnx file, "
        f"or {_random_names()}"
    )
    raise BackendError(f"expected a model ({wanted}), found nothing of the kind at {spec!r}. Check --model.")


def _random_names() -> str:
    return ", ".join(RANDOM_PREFIX + name for name in RANDOM_GEOMETRIES)


def _find_random(spec: str, head: str) -> Model:
    config = RANDOM_GEOMETRIES.get(spec.removeprefix(RANDOM_PREFIX))
    if config is None:
        raise BackendError(f"expected random weights out of {_random_names()}, found --model {spec}.")
    return Model(spec, replace(config, head=head), None)


def with_config(model: Model) -> Model:
    """The same model, its geometry read out of its weights where nothing else says it."""
    return model if model.config else replace(model, config=read_weights(model).config)


def with_answers(model: Model) -> Model:
    """The same model, a graph that runs as it is, with the head that its outputs show.

    Raises:
        BackendError: they are those of no head.
    """
    assert model.path is not None  # a graph has one
    return replace(model, answers=onnx_io_names.head(model, onnx_graph_walk.outputs(model.path)))


def read_weights(model: Model) -> ModelWeights:
    """The model's weights with their geometry and ranges.

    Raises:
        BackendError: the file is missing, cut short or no BERT's, or a tensor is missing, has another shape or has no
            place (it is named).
    """
    if model.path is not None:
        return formats.of(model.path).read(model.path)
    assert model.config is not None  # random weights have one
    return random_weights.weights(model.spec, model.config)


def read_tensors(model: Model) -> Tensors:
    """The weights alone, float32, exactly the names and shapes of their geometry. Raises as `read_weights` does."""
    return read_weights(model).tensors


def has_ranges(model: Model) -> bool:
    """True where the model brings scales of its own for int8; found without reading its weights."""
    return model.path is not None and formats.of(model.path).has_ranges(model.path)


def digest(model: Model) -> str:
    """sha256 of the bytes that the weights come from: their files and the config beside, or what names random ones."""
    if model.path is None:
        return hashlib.sha256(f"{model.spec} {model.head} {RANDOM_SEED}".encode()).hexdigest()
    sha = hashlib.sha256()
    configs = [model.path.with_name(name) for name in bert_config.CONFIGS]
    for path in (*(path for path in configs if path.is_file()), *weight_files(model)):
        with path.open("rb") as file:
            sha.update(hashlib.file_digest(file, "sha256").digest())
    return sha.hexdigest()


def weight_files(model: Model) -> tuple[Path, ...]:
    """The files that the weights are read from; none for random ones."""
    return () if model.path is None else formats.of(model.path).files(model.path)
