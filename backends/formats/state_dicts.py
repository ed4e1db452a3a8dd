"""Tensors stored by name: safetensors and PyTorch state dicts, in one file or sharded, Hugging Face's and MLPerf's.

PyTorch files are opened with `weights_only`, so that they can contain tensors but no code. The maxima that quantizers
stored next to the weights in quantization-aware training become the ranges of the linear layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from backends.bert import config as bert_config
from backends.bert import heads
from backends.errors import BackendError, brief
from backends.formats.base import ModelWeights, QatRange, checked
from foundation.arrays import Float32
from foundation.bounded_readers import SETTINGS_BYTES, read_json

_INDEX = ".index.json"
_QUANTIZER = "_quantizer."  # in the name of every tensor that quantization-aware training adds
_INPUT, _WEIGHT = "._input_quantizer._amax", "._weight_quantizer._amax"
_WRAPPED = ("model", "state_dict", "model_state_dict")  # keys under which training scripts store the tensors
# Names in models converted from TensorFlow, trained on several devices, or with fused activations → our names.
_RENAMED = {
    "LayerNorm.gamma": "LayerNorm.weight",
    "LayerNorm.beta": "LayerNorm.bias",
    "dense_act.": "dense.",
    "module.bert.": "bert.",
    "module.qa_outputs.": "qa_outputs.",
    "module.classifier.": "classifier.",
}


def read(path: Path) -> ModelWeights:
    """The weights in `path`: a file of tensors, or the index of its shards."""
    found = {_renamed(name): tensor for name, tensor in _read_all(path).items()}
    plain = {name: tensor for name, tensor in found.items() if _QUANTIZER not in name}
    shapes = {name: tuple(tensor.shape) for name, tensor in plain.items()}
    config = replace(
        bert_config.find_config(path) or bert_config.of_shapes(path, shapes), head=heads.of_tensors(shapes)
    )
    return ModelWeights(config, checked(path, config, plain), _ranges(path, found))


def has_ranges(path: Path) -> bool:
    """True if quantization-aware training stored ranges; checked without reading the tensors."""
    return any(name.endswith(_INPUT) for file in files(path) for name in _reader(file)[1](file))


def files(path: Path) -> tuple[Path, ...]:
    """The file itself, or the index and its shards."""
    if not path.name.endswith(_INDEX):
        return (path,)
    return (path, *(path.with_name(name) for name in sorted(set(_weight_map(path).values()))))


def _read_all(path: Path) -> dict[str, Any]:
    if not path.name.endswith(_INDEX):
        return dict(_reader(path)[0](path))
    where = _weight_map(path)
    found: dict[str, Any] = {}
    for shard in sorted(set(where.values())):
        held = _reader(path.with_name(shard))[0](path.with_name(shard))
        lacks = sorted(name for name, file in where.items() if file == shard and name not in held)
        if lacks:
            raise BackendError(f"expected {lacks[0]} in {path.with_name(shard)}, where {path.name} has it, found none.")
        found |= held
    return found


def _weight_map(path: Path) -> dict[str, str]:
    """Name of each tensor → name of the file next to the index that holds it."""
    try:
        where = read_json(path, SETTINGS_BYTES)["weight_map"]
        names = {str(name): Path(file).name for name, file in where.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BackendError(
            f"expected an index of shards (weight_map: tensor → file) in {path}, found: {brief(error)}. "
            f"Copy or fetch it again."
        ) from error
    gone = sorted(file for file in set(names.values()) if not path.with_name(file).is_file())
    if gone or not names:
        raise BackendError(f"expected the shards that {path} lists, found no {gone[0] if gone else 'shard in it'}.")
    return names


def _renamed(name: str) -> str:
    for old, new in _RENAMED.items():
        name = name.replace(old, new)
    return name


def _ranges(path: Path, found: Mapping[str, Any]) -> dict[str, QatRange]:
    """The range of every linear layer of the encoder with a quantizer; quantizers inside attention are not used.

    Weights without a stored range get their own maximum, as in the publisher's engine.
    """
    ranges = {}
    for name in sorted(name.removesuffix(_INPUT) for name in found if name.endswith(_INPUT)):
        weight = found.get(f"{name}.weight")
        if weight is None:
            raise BackendError(f"expected {name}.weight in {path}, which has {name}{_INPUT}, found none.")
        if not name.startswith("bert.encoder.layer."):
            continue
        amax = found.get(name + _WEIGHT, np.abs(weight).max())
        ranges[name] = QatRange.symmetric(
            _positive(path, name + _INPUT, found[name + _INPUT], 1)[0],
            _positive(path, name + _WEIGHT, amax, len(weight)) / np.float32(127),
        )
    return ranges


def _positive(path: Path, name: str, amax: Any, size: int) -> Float32:
    """The maxima as an array [size], from one value or `size` values."""
    values = np.asarray(amax, np.float32).reshape(-1)
    if values.size not in (1, size) or not (np.isfinite(values).all() and (values > 0).all()):
        count = "one value" if size == 1 else f"one value or {size}"
        raise BackendError(f"expected {count} above 0 for {name} in {path}, found {values[:4].tolist()}.")
    return np.broadcast_to(values, (size,))


def _read_safetensors(path: Path) -> Mapping[str, Any]:
    try:
        return safetensors.numpy.load_file(path)
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        raise BackendError(
            f"expected a complete safetensors file at {path}, found one cut short or broken ({error}). "
            f"Copy or fetch it again."
        ) from error


def _safetensors_names(path: Path) -> Iterable[str]:
    try:
        with safetensors.safe_open(path, "numpy") as file:
            return list(file.keys())
    except (OSError, ValueError, safetensors.SafetensorError):
        return ()  # the reader reports why


def _read_torch(path: Path) -> Mapping[str, Any]:
    return {name: tensor.float().numpy() for name, tensor in _load_torch(path).items()}


def _load_torch(path: Path) -> Mapping[str, Any]:
    try:
        import torch
    except ModuleNotFoundError as error:
        raise BackendError(
            f"reading {path} needs torch, which is not installed. Type: pip install 'mlperf-bert-sut[pytorch]', or "
            f"use model.safetensors."
        ) from error
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = "objects that would run code" if "weights_only" in str(error) else "a file cut short or broken"
        raise BackendError(
            f"expected a PyTorch state dict in {path}, tensors and nothing else, found {reason} ({brief(error)}). "
            f"Copy or fetch it again, or use model.safetensors."
        ) from error
    found = next(
        (found[key] for key in _WRAPPED if isinstance(found, dict) and isinstance(found.get(key), dict)), found
    )
    if not isinstance(found, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in found.values()):
        raise BackendError(f"expected a PyTorch state dict in {path}, tensors by name, found {type(found).__name__}.")
    return found


_Reader = tuple[
    Callable[[Path], Mapping[str, Any]], Callable[[Path], Iterable[str]]
]  # (reads the tensors, reads only their names)
_READERS: dict[str, _Reader] = {".safetensors": (_read_safetensors, _safetensors_names)}


def _reader(path: Path) -> _Reader:
    return _READERS.get(path.suffix, (_read_torch, _load_torch))
