"""Weights to start from: a checkpoint of Hugging Face's, of NVIDIA's, of TensorFlow, or one of ours.

The encoder must be there in full. A head that the checkpoint does not have keeps its initial weights: masked-LM models
have no next sentence prediction, and a fine-tuned one has neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from backends import formats
from backends.bert.model import GRAPH_SUFFIX
from backends.errors import BackendError
from backends.formats import state_dicts
from backends.formats.base import finite_float32
from training.network import tensorflow_checkpoint

_ENCODER, _POOLER = "bert.", "bert.pooler."
_WORDS = ("bert.embeddings.word_embeddings.weight", "cls.predictions.bias")  # a row for each word
_PADDED = 128  # vocabularies are padded to a multiple of this at most
_OTHER_NAMES = {"cls.predictions.bias": "cls.predictions.decoder.bias"}


def read(path: Path) -> Mapping[str, Any]:
    """The tensors of a checkpoint by Hugging Face's names, as they are stored.

    Raises:
        BackendError: there is none at `path`, or it cannot be read.
    """
    index = tensorflow_checkpoint.index_of(path)
    return (
        tensorflow_checkpoint.read(index) if index is not None else _whole_names(state_dicts.read_named(_found(path)))
    )


def _whole_names(tensors: Mapping[str, Any]) -> Mapping[str, Any]:
    """An encoder that was saved alone has names without "bert."."""
    is_alone = any(name.startswith("embeddings.") for name in tensors)
    return {f"{_ENCODER}{name}": tensor for name, tensor in tensors.items()} if is_alone else tensors


def require(path: Path) -> None:
    """Raise BackendError if there is no checkpoint at `path`; none is read."""
    if tensorflow_checkpoint.index_of(path) is None:
        _found(path)


def _found(path: Path) -> Path:
    """The file of tensors at `path`. Raises BackendError."""
    found = formats.find(path)
    if found is None or found.suffix == GRAPH_SUFFIX:
        raise BackendError(
            f"expected a checkpoint (a directory with model.safetensors or pytorch_model.bin, a file of tensors, or "
            f"TensorFlow's model.ckpt), found none at {path}. Type another checkpoint to start from."
        )
    return found


@torch.no_grad()
def load(network: nn.Module, path: Path) -> tuple[str, ...]:
    """Set a network's parameters, which have Hugging Face's names, from a checkpoint.

    Returns:
        The parameters of heads that the checkpoint does not have: they are as they were.

    Raises:
        BackendError: it cannot be read, or is the checkpoint of another geometry; the message names a tensor.
    """
    tensors = read(path)
    parameters = dict(network.named_parameters())
    found = {name: tensors.get(name, tensors.get(_OTHER_NAMES.get(name, ""))) for name in parameters}
    missing = tuple(name for name, tensor in found.items() if tensor is None)
    _require_encoder(path, parameters, missing, tensors)
    for name, parameter in parameters.items():
        if found[name] is not None:
            parameter.copy_(_as(path, name, parameter, found[name]))
    return missing


def _require_encoder(
    path: Path, parameters: Mapping[str, Tensor], missing: tuple[str, ...], tensors: Mapping[str, Any]
) -> None:
    lacking = [name for name in missing if name.startswith(_ENCODER) and not name.startswith(_POOLER)]
    more = [
        name
        for name in tensors
        if name.startswith(f"{_ENCODER}encoder.") and name not in parameters and state_dicts.QUANTIZER not in name
    ]
    for problem, names in (("missing", lacking), ("more", more)):
        if names:
            raise BackendError(
                f"expected the encoder of this geometry in {path}, found {len(names)} tensors {problem}, including "
                f"{names[0]}. Type the checkpoint's own model, or another checkpoint to start from."
            )


def _as(path: Path, name: str, parameter: Tensor, tensor: Any) -> Tensor:
    rows = len(parameter)
    if name in _WORDS and rows < len(tensor) <= -(-rows // _PADDED) * _PADDED:
        tensor = tensor[:rows]  # the rest is padding
    if tuple(tensor.shape) != tuple(parameter.shape):
        raise BackendError(
            f"expected {name} of shape {tuple(parameter.shape)} in {path}, found {tuple(tensor.shape)}. "
            f"Type the checkpoint's own model, or another checkpoint to start from."
        )
    return torch.from_numpy(finite_float32(path, name, np.array(tensor)))
