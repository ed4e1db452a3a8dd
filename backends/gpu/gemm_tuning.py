"""Which way computes which product at how many tokens: measured on the GPU that is there, or the default.

A choice holds for one GPU, so engine.json keeps it under the GPU's name; an engine that was built elsewhere is measured
again when it is loaded, before the clock. Every layer has the same shapes, so the first one stands for all.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from backends.gpu.engine import BUCKETS
from backends.gpu.gemm_variants import LIBRARY, GemmVariant, way, ways
from backends.gpu.kernels import GpuKernels
from backends.gpu.weights import FLOATS, GpuLayer, Product
from backends.quantization.int8_model import LINEARS

Choices = dict[str, str]  # "product@tokens" → one of products.ways
Call = Callable[[], Tensor]
Measure = Callable[[Call], float]  # the time that one call takes
DEFAULT = "default"  # where a GPU's name stands else
_TILES = ("32x64", "64x64", "64x128", "128x128", "128x128", "128x128")  # for each bucket, unless measured


def default(precision: str) -> Choices:
    """What is likely: the library for floats without GELU, everything fused for the rest."""
    library = [name for name in LINEARS if precision in FLOATS and name != "ffn_inner"]
    return {
        key(name, tokens): LIBRARY if name in library else tile
        for name in LINEARS
        for tokens, tile in zip(BUCKETS, _TILES, strict=True)
    }


def measured(layer: GpuLayer, kernels: GpuKernels, measure: Measure, buckets: Sequence[int] = BUCKETS) -> Choices:
    """The fastest of all ways at each bucket's tokens; `measure` times one call."""
    found: Choices = {}
    for name, product in _products(layer).items():
        for at, tokens in enumerate(buckets):
            x = _input(product, tokens)
            fewest = buckets[at - 1] if at else 1
            times = {one: _tried(way(one, product, kernels), x, measure) for one in ways(product, fewest)}
            found[key(name, tokens)] = min(times, key=lambda one: times[one])
    return found


def _tried(call: GemmVariant, x: Tensor, measure: Measure) -> float:
    """Infinite where this GPU, or this version of the library, does not have it."""
    try:
        return measure(lambda: call(x))
    except Exception:  # noqa: BLE001 - compilers and libraries refuse a shape in their own ways
        return float("inf")


def _input(product: Product, tokens: int) -> Tensor:
    """Random values: zeros would be multiplied faster."""
    draw = torch.randn(tokens, product.weight.shape[1], device=product.weight.device)
    return (draw if product.scale is None else draw * 30).to(product.weight.dtype)


class TunedProduct:
    """A product that takes the way of its bucket."""

    def __init__(self, name: str, product: Product, kernels: GpuKernels, choices: Mapping[str, str]) -> None:
        chosen = [choices[key(name, tokens)] for tokens in BUCKETS]
        made = {one: way(one, product, kernels) for one in set(chosen)}
        self._ways = [made[one] for one in chosen]

    def __call__(self, x: Tensor) -> Tensor:
        return self._ways[min(bisect.bisect_left(BUCKETS, len(x)), len(BUCKETS) - 1)](x)


def key(name: str, tokens: int) -> str:
    """The name under which a layer's choice for batches of `tokens` tokens is stored."""
    return f"{name}@{tokens}"


def _products(layer: GpuLayer) -> dict[str, Product]:
    return {name: getattr(layer, name) for name in LINEARS}
