"""The file formats in which BERT is published: one module for each family, and the table that selects it.

The format is chosen by file name only; files are never sniffed. Readers return `ModelWeights`: always float32, under
Hugging Face's names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from backends.bert.config import CONFIGS
from backends.bert.model import GRAPH_SUFFIX
from backends.errors import BackendError
from backends.formats import onnx_reader, state_dicts
from backends.formats.base import ModelWeights

_STORED = (".safetensors", ".bin", ".pytorch", ".pt", ".pth")  # suffixes of a file of tensors
# In a directory, the first of these that exists.
_IN_DIRECTORY = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "model.pytorch",
)


@dataclass(frozen=True)
class FileFormat:
    """How one family of files is read; every function takes the file that `find` returned."""

    read: Callable[[Path], ModelWeights]
    has_ranges: Callable[[Path], bool]  # True if it has scales for int8 linear layers
    files: Callable[[Path], tuple[Path, ...]]  # every file that holds weights


_GRAPH = FileFormat(onnx_reader.read, onnx_reader.has_ranges, onnx_reader.files)
_TENSORS = FileFormat(state_dicts.read, state_dicts.has_ranges, state_dicts.files)


def of(path: Path) -> FileFormat:
    """The format of a file that `find` returned."""
    return _GRAPH if path.suffix == GRAPH_SUFFIX else _TENSORS


def find(path: Path) -> Path | None:
    """The file to read of the model at `path`, a file or a directory; None if there is no model.

    Raises:
        BackendError: a directory has a config.json but no weights.
    """
    if path.is_file():
        return path if path.suffix in (GRAPH_SUFFIX, *_STORED) else None
    found = [path / name for name in _IN_DIRECTORY if (path / name).is_file()]
    if found:
        return found[0]
    if any((path / name).is_file() for name in CONFIGS):
        raise BackendError(f"expected {' or '.join(_IN_DIRECTORY)} in {path}, found none of them.")
    return None
