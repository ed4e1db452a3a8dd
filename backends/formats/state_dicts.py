"""Tensors stored by name: safetensors and PyTorch state dicts, in one file or sharded, Hugging Face's and MLPerf's.

Names lose what wrappers added, in every format alike. The maxima that quantizers
stored next to the weights in quantization-aware training become the ranges of the linear layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from backends.bert import config_files, heads
from backends.errors import BackendError, brief
from backends.formats import tensor_names, torch_files
from backends.formats.base import ModelWeights, QatRange, checked
from foundation import file_kinds
from foundation.arrays import Float32
from foundation.bounded_readers import SETTINGS_BYTES, UnreadableError, is_file, read_json
from foundation.typed_json import decode

_INDEX = ".index.json"
_SYMMETRIC = 128
QUANTIZER = "_quantizer."  # in the name of every tensor that quantization-aware training adds
INPUT, WEIGHT = "._input_quantizer._amax", "._weight_quantizer._amax"
# Our own training's, in addition: the range's zero point, and the divisor of each input channel.
ZERO_POINT, SMOOTH = "._input_quantizer._zero_point", "._input_quantizer._smooth"


@dataclass(frozen=True)
class _Index:
    weight_map: Mapping[str, str]  # tensor → file


def read(path: Path) -> ModelWeights:
    """The weights in `path`: a file of tensors, or the index of its shards."""
    found = read_named(path)
    plain = {name: tensor for name, tensor in found.items() if QUANTIZER not in name}
    shapes = {name: tuple(tensor.shape) for name, tensor in plain.items()}
    config = replace(
        config_files.find_config(path) or config_files.of_shapes(path, shapes), head=heads.of_tensors(shapes)
    )
    return ModelWeights(config, checked(path, config, plain), _ranges(path, found))


def read_named(path: Path) -> dict[str, Any]:
    """Every tensor in `path`, as it is stored, under BERT's own names, whatever model it is."""
    return tensor_names.unwrapped(path, _read_all(path))


def has_ranges(path: Path) -> bool:
    """True if quantization-aware training stored ranges; checked without reading the tensors."""
    return any(name.endswith(INPUT) for file in files(path) for name in _reader(file)[1](file))


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
            raise BackendError(
                f"expected {lacks[0]} in {path.with_name(shard)}, where {path.name} has it, found none. "
                f"Copy or fetch both again."
            )
        found |= held
    return found


def _weight_map(path: Path) -> dict[str, str]:
    """Name of each tensor → name of the file next to the index that holds it."""
    try:
        names = {
            name: Path(file).name for name, file in decode(_Index, read_json(path, SETTINGS_BYTES)).weight_map.items()
        }
    except UnreadableError as error:
        raise BackendError(
            f"expected an index of shards (weight_map: tensor → file) in {path}, found {file_kinds.at(path)}: {error}. "
            f"Copy or fetch it again."
        ) from error
    gone = sorted(file for file in set(names.values()) if not is_file(path.parent / file))
    if gone or not names:
        found = f"no {gone[0]!a}" if gone else "none in it"
        raise BackendError(f"expected the shards that {path} lists, found {found}. Copy or fetch them again.")
    return names


def _ranges(path: Path, found: Mapping[str, Any]) -> dict[str, QatRange]:
    """The range of every linear layer of the encoder with a quantizer; quantizers inside attention are not used.

    Weights without a stored range get their own maximum, as in the publisher's engine.
    """
    ranges = {}
    for name in sorted(name.removesuffix(INPUT) for name in found if name.endswith(INPUT)):
        weight = found.get(f"{name}.weight")
        if weight is None:
            raise BackendError(
                f"expected {name}.weight in {path}, which has {name}{INPUT}, found none. Copy or fetch it again."
            )
        if not name.startswith("bert.encoder.layer."):
            continue
        amax = found.get(name + WEIGHT, np.abs(weight).max())
        smooth = found.get(name + SMOOTH)
        ranges[name] = QatRange(
            float(_positive(path, name + INPUT, found[name + INPUT], 1)[0] / 127),
            _zero_point(path, name + ZERO_POINT, found.get(name + ZERO_POINT, _SYMMETRIC)),
            _positive(path, name + WEIGHT, amax, len(weight)) / np.float32(127),
            None if smooth is None else _positive(path, name + SMOOTH, smooth, weight.shape[1]),
        )
    return ranges


def _zero_point(path: Path, name: str, stored: Any) -> int:
    values = np.asarray(stored, np.float32).reshape(-1)
    if values.size != 1 or values[0] not in range(256):
        raise BackendError(
            f"expected a whole number from 0 to 255 for {name} in {path}, found {values[:4].tolist()}. "
            f"Copy or fetch it again."
        )
    return int(values[0])


def _positive(path: Path, name: str, amax: Any, size: int) -> Float32:
    """The maxima as an array [size], from one value or `size` values."""
    values = np.asarray(amax, np.float32).reshape(-1)
    if values.size not in (1, size) or not (np.isfinite(values).all() and (values > 0).all()):
        count = "one value" if size == 1 else f"one value or {size}"
        raise BackendError(
            f"expected {count} above 0 for {name} in {path}, found {values[:4].tolist()}. Copy or fetch it again."
        )
    return np.broadcast_to(values, (size,))


def _read_safetensors(path: Path) -> Mapping[str, Any]:
    import ml_dtypes  # noqa: F401 - numpy then has bfloat16, which safetensors looks up by name

    try:
        return safetensors.numpy.load_file(path)
    except (AttributeError, TypeError, KeyError) as error:
        raise BackendError(
            f"expected tensors of types that numpy has in {path}, found others ({brief(error)}). "
            f"Save the model in float32, float16 or bfloat16."
        ) from error
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        found = file_kinds.at(path) or f"one cut short or broken ({brief(error)})"
        raise BackendError(
            f"expected a complete safetensors file at {path}, found {found}. Copy or fetch it again."
        ) from error


def _safetensors_names(path: Path) -> Iterable[str]:
    try:
        with safetensors.safe_open(path, "numpy") as file:
            return list(file.keys())
    except (OSError, ValueError, safetensors.SafetensorError):
        return ()  # the reader reports why


_Reader = tuple[
    Callable[[Path], Mapping[str, Any]], Callable[[Path], Iterable[str]]
]  # (reads the tensors, reads only their names)
_READERS: dict[str, _Reader] = {".safetensors": (_read_safetensors, _safetensors_names)}


def _reader(path: Path) -> _Reader:
    return _READERS.get(path.suffix, (torch_files.read, torch_files.load))
