"""Engines that are one safetensors file next to engine.json: every format of our own.

The tensors are views of the mapped file, so that instances share one copy in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.numpy

from backends.bert.architectures import Geometry
from backends.errors import BackendError
from backends.quantization import engine_store
from backends.quantization.engine_store import About
from foundation.bounded_readers import parse_json, require_regular
from foundation.typed_json import decode

Shapes = dict[str, tuple[int, ...]]
Arrays = Mapping[str, npt.NDArray[Any]]
# The parts of a quantized layer that are not float32.
_INTEGERS = {"weight": np.int8, "zero_point": np.int8, "input_zero_point": np.uint8}
_DTYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "I8": np.dtype(np.int8), "U8": np.dtype(np.uint8)}


@dataclass(frozen=True)
class EngineFormat:
    """One kind of engine: the name of its file, and the shape of every tensor in it, by name."""

    file: str
    shapes: Callable[[Geometry], Shapes]
    optional: Callable[[Geometry], Shapes] = lambda config: {}  # all of them or none

    def write(self, directory: Path, config: Geometry, tensors: Arrays, about: About) -> None:
        """Write an engine; if another process was faster, its engine stays.

        Args:
            about: the other keys of engine.json, `settings` among them.

        Raises:
            BackendError: it cannot be written.
        """

        def fill(temporary: Path) -> About:
            try:
                safetensors.numpy.save_file(dict(tensors), temporary / self.file)
            except safetensors.SafetensorError as error:  # a full disk
                raise OSError(str(error)) from error
            mode = temporary.stat().st_mode & 0o666  # of other new files: safetensors hides its own from other users
            (temporary / self.file).chmod(mode)
            return {"config": asdict(config), **about}

        engine_store.write(directory, fill, self.is_complete)

    def read(self, directory: Path) -> tuple[Geometry, Arrays, dict[str, Any]]:
        """The geometry, the mapped tensors and the other keys of engine.json.

        Raises:
            BackendError: there is no engine, or it is not complete.
        """
        try:
            about = engine_store.read(directory)
            config = decode(_Header, {"config": about.pop("config", None)}).config
            tensors = map_tensors(directory / self.file)
            if config.num_hidden_layers > len(tensors):  # the shapes of that many layers would take all memory
                raise ValueError(f"{len(tensors)} tensors for {config.num_hidden_layers} layers")
            optional = self.optional(config)
            shapes = self.shapes(config) | (optional if optional.keys() & tensors.keys() else {})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise engine_store.missing(directory, error) from error
        found = {name: (tensor.dtype, tensor.shape) for name, tensor in tensors.items()}
        expected = {name: (_dtype(name), shape) for name, shape in shapes.items()}
        if found != expected:
            wrong = min(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
            raise BackendError(
                f"expected a complete engine in {directory}, found {wrong} missing, unknown or with another shape or "
                "type. Type: python -m sut build."
            )
        return config, tensors, about

    def is_complete(self, directory: Path) -> bool:
        """True if `read` would succeed."""
        try:
            self.read(directory)
        except BackendError:
            return False
        return True


@dataclass(frozen=True)
class _Header:
    """What engine.json has of every engine of this format."""

    config: Geometry


def _dtype(name: str) -> np.dtype[Any]:
    """The type of an engine's tensor: kernels read its memory as this."""
    at, _, part = name.rpartition(".")
    return np.dtype(_INTEGERS.get(part, np.float32) if at.startswith("layers.") else np.float32)


@dataclass(frozen=True)
class _Tensor:
    """An entry of a safetensors header."""

    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


def map_tensors(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Read-only views of the tensors in a safetensors file: 8 bytes of header length, the header (JSON), the data.

    Raises:
        OSError, ValueError, KeyError: the file is missing or incomplete.
    """
    require_regular(path)
    content = np.memmap(path, np.uint8, mode="r")
    start = 8 + int(content[:8].view("<u8")[0])
    header = parse_json(content[8:start].tobytes())
    if isinstance(header, dict):
        header.pop("__metadata__", None)
    entries = decode(dict[str, _Tensor], header)
    data = content[start:]
    if max((one.data_offsets[1] for one in entries.values()), default=0) != len(data):
        raise ValueError(f"{path.name} is cut short")
    return {
        name: data[slice(*one.data_offsets)].view(_DTYPES[one.dtype]).reshape(one.shape)
        for name, one in entries.items()
    }
