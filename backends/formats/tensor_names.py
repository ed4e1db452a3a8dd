"""The names of tensors in checkpoints: without what wraps the model, and under Hugging Face's names of today."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from backends.errors import BackendError

T = TypeVar("T")
# Parts of a name that a wrapper added, at any place and in any order: DataParallel and DeepSpeed, Lightning,
# torch.compile, FSDP, activation checkpointing. No part of BERT has such a name.
_WRAPPERS = {"module", "model", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
# Names in models converted from TensorFlow, or with fused activations → ours.
_RENAMED = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias", "dense_act.": "dense."}


def unwrapped(path: Path, tensors: Mapping[str, T]) -> dict[str, T]:
    """The same tensors under BERT's own names.

    Raises:
        BackendError: two of them have one name then, so that it is unclear which one counts.
    """
    found: dict[str, T] = {}
    first: dict[str, str] = {}
    for name, tensor in tensors.items():
        plain = _unwrapped(name)
        if plain in first:
            raise BackendError(
                f"expected one tensor for each name in {path}, found two for {plain}: {first[plain]} and {name}. "
                f"Save one of the two models alone."
            )
        first[plain], found[plain] = name, tensor
    return found


def _unwrapped(name: str) -> str:
    plain = ".".join(part for part in name.split(".") if part not in _WRAPPERS)
    for old, new in _RENAMED.items():
        plain = plain.replace(old, new)
    return plain
