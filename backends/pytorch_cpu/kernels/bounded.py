"""Variants that multiply weights with bounded groups alone, and faster (backends/quantization/bounded_groups.py)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from torch import Tensor

from backends.quantization import bounded_groups

VARIANTS = {"avx2": "avx2bounded"}  # by the variant that takes any weight
_Library = TypeVar("_Library")


def is_bounded(variant: str) -> bool:
    """True if this variant takes such weights alone."""
    return variant in VARIANTS.values()


def others(variants: Iterable[str]) -> tuple[str, ...]:
    """Those that take any weight."""
    return tuple(one for one in variants if not is_bounded(one))


def find(variant: str, load: Callable[[str], _Library | None]) -> _Library | None:
    """What `load` gives of the variant for bounded weights that stands next to this one; None if there is none."""
    return load(VARIANTS[variant]) if variant in VARIANTS else None


def largest(variant: str) -> int:
    """The largest step with which any weight is one that this variant takes."""
    return bounded_groups.MOST // bounded_groups.INPUTS if is_bounded(variant) else 127


def takes(*weights: Tensor) -> bool:
    """True if the groups of all of these, int8 [N, K], are bounded."""
    return all(bounded_groups.is_bounded(weight.numpy()) for weight in weights)


def check(variant: str, weight: Tensor) -> None:
    """Raises ValueError where this variant's sums would be wrong, of int8 [N, K]."""
    if is_bounded(variant) and not takes(weight):
        raise ValueError(f"expected a weight with bounded groups for {variant}, found one without.")
