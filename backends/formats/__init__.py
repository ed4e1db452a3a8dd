"""The file formats in which BERT is published: one module for each family, and the table that selects it.

The format is chosen by file name only. Readers return `ModelWeights`: always float32, under Hugging Face's names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from backends.bert.config_files import CONFIGS
from backends.bert.model import GRAPH_SUFFIX
from backends.errors import BackendError
from backends.formats import onnx_reader, state_dicts
from backends.formats.base import ModelWeights

_STORED = (".safetensors", ".bin", ".pytorch", ".pt", ".pth", ".ckpt")  # suffixes of a file of tensors
# In a directory, the first of these that exists.
_IN_DIRECTORY = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "model.pytorch",
    "model.onnx",
    "onnx/model.onnx",  # optimum's layout
)
_NO_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin", "training_args.bin", "optimizer.pt", "scheduler.pt")
_FOREIGN = {  # suffix of weights that other frameworks read → what they are
    ".h5": "weights of TensorFlow (Keras)",
    ".msgpack": "weights of Flax",
    ".index": "a checkpoint of TensorFlow",
    ".pb": "a graph of TensorFlow",
    ".gguf": "weights of llama.cpp",
    ".ot": "weights of rust-bert",
    ".tflite": "a graph of TensorFlow Lite",
}


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
        BackendError: there are only weights that cannot be read, or a directory has a config.json but no weights.
    """
    if path.is_file():
        if path.suffix not in (GRAPH_SUFFIX, *_STORED) and path.suffix in _FOREIGN:
            raise _foreign(path)
        return path if path.suffix in (GRAPH_SUFFIX, *_STORED) else None
    found = [path / name for name in _IN_DIRECTORY if (path / name).is_file()]
    if found:
        return found[0]
    others = sorted(one for one in path.glob("*") if one.suffix in (GRAPH_SUFFIX, *_STORED, *_FOREIGN))
    readable = [one for one in others if one.suffix not in _FOREIGN and one.name not in _NO_WEIGHTS]
    if readable:
        raise BackendError(f"expected {_ACCEPTED} in {path}, found {readable[0].name}. Type: --model {readable[0]}")
    if others:
        raise _foreign(others[0])
    if any((path / name).is_file() for name in CONFIGS):
        raise BackendError(f"expected {_ACCEPTED} in {path}, found none of them. Copy or fetch the weights.")
    return None


def _foreign(path: Path) -> BackendError:
    what = _FOREIGN.get(path.suffix, "an adapter or optimizer state, which is not a whole model")
    return BackendError(
        f"expected {_ACCEPTED}, found {path}: {what}. Save the model with PyTorch's save_pretrained, or as ONNX."
    )


_ACCEPTED = " or ".join(_IN_DIRECTORY)
