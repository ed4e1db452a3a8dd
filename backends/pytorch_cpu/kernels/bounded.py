"""Variants that multiply weights with bounded groups alone, and faster (backends/quantization/bounded_groups.py)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from torch import Tensor

from backends.quantization import bounded_groups

VARIANTS = {"avx2": "avx2bounded"}  # by the variant that takes any weight
_Library = TypeVar("_Library")


def find(of: str, load: Callable[[str], _Library | None]) -> _Library | None:
    """What `load` gives of the faster variant; None if there is none."""
    return load(VARIANTS[of]) if of in VARIANTS else None


def largest(variant: str) -> int:
    """Steps that any weight may have, so that all weights may."""
    return bounded_groups.MOST // bounded_groups.INPUTS if variant in VARIANTS.values() else 127


def takes(*weights: Tensor) -> bool:
    """True if the groups of all of these, int8 [N, K], are bounded."""
    return all(bounded_groups.is_bounded(weight.numpy()) for weight in weights)


def check(of: str, weight: Tensor, regrouped: bool = False) -> None:
    """Raises ValueError where this variant's sums would be wrong, as they are of inputs that are grouped otherwise."""
    if of in VARIANTS.values() and (regrouped or not takes(weight)):
        raise ValueError(f"expected a weight with bounded groups for {of}, found one without.")
