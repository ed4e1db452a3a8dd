"""Reads PyTorch's files as tensors and nothing else: they are opened with `weights_only`, so they cannot run code.

torch's own messages are not handed on: they advise to switch that off.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from backends.errors import BackendError
from foundation import file_kinds, installation

_WRAPPED = ("model", "state_dict", "model_state_dict", "module")  # keys under which training scripts store the tensors
_CODE = re.compile(r"GLOBAL ([\w.]+) was not an allowed global")


def read(path: Path) -> dict[str, npt.NDArray[Any]]:
    """The tensors by name; bfloat16 and float8 as float32, other types as they are stored.

    Raises:
        BackendError: the file holds anything else, or a tensor without values of its own; the message names it.
    """
    return {name: _array(path, name, tensor) for name, tensor in load(path).items()}


def load(path: Path) -> Mapping[str, Any]:
    """The tensors by name, as torch has them. Raises BackendError if the file is not a state dict."""
    try:
        import torch
    except ModuleNotFoundError as error:
        raise BackendError(
            f"reading {path} needs torch, which is not installed. Type: "
            f"{installation.command('pytorch')}; or use model.safetensors."
        ) from error
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise BackendError(
            f"expected a PyTorch state dict in {path}, tensors and nothing else, found {_instead(path, error)}. "
            f"Copy or fetch it again, or use model.safetensors."
        ) from error
    if isinstance(found, dict):
        found = next((found[key] for key in _WRAPPED if isinstance(found.get(key), dict)), found)
    wrong = _not_tensors(found)
    if wrong:
        raise BackendError(
            f"expected a PyTorch state dict in {path}, tensors by name, found {wrong}. "
            f"Save model.state_dict() alone, or use model.safetensors."
        )
    return found  # type: ignore[no-any-return]


def _not_tensors(found: Any) -> str:
    import torch

    if not isinstance(found, dict):
        return type(found).__name__
    others = (f"{key!a}: {type(one).__name__}" for key, one in found.items() if not isinstance(one, torch.Tensor))
    numbered = (f"the key {key!a}" for key in found if not isinstance(key, str))
    return next(numbered, next(others, ""))


def _instead(path: Path, error: Exception) -> str:
    """What the file is instead of a state dict; torch's error, if it has to be shown, by its type alone."""
    words = str(error)
    if other := file_kinds.at(path):
        return other
    if code := _CODE.search(words):
        return f"objects that would run code ({code[1]})"
    if "TorchScript" in words:
        return "a TorchScript archive, which is code and weights"
    return f"a file cut short or broken ({type(error).__name__})"


def _array(path: Path, name: str, tensor: Any) -> npt.NDArray[Any]:
    import torch

    kinds = {
        "a sparse one": tensor.layout != torch.strided,
        "one on the device meta, without values": tensor.is_meta,
        "a quantized one": tensor.is_quantized,
    }
    found = [kind for kind, applies in kinds.items() if applies]
    if not found and tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        found = [f"one of shape {tuple(tensor.shape)} that repeats {tensor.untyped_storage().nbytes()} bytes"]
    if found:
        raise BackendError(f"expected a dense tensor as {name} in {path}, found {found[0]}. Save the model densely.")
    tensor = tensor.detach().resolve_conj().resolve_neg()
    values: npt.NDArray[Any] = (tensor.float() if tensor.is_floating_point() else tensor).numpy()
    return values if values.dtype.kind != "f" else values.astype(np.float32, copy=False)
