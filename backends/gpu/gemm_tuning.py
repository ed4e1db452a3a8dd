"""Chooses the GEMM variant of each product at each number of tokens: measured on this GPU, or the default.

A choice is valid for one GPU (choice_cache.py); on another one it is measured when the model is loaded, before the
clock. All layers have the same shapes, so only the first is measured.
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from backends.errors import BackendError, brief
from backends.gpu.engine import BUCKETS
from backends.gpu.gemm_variants import LIBRARY, build_variant, starts_early, variants
from backends.gpu.kernels import GpuKernels, dependent
from backends.gpu.runtime import Gpu
from backends.gpu.weights import FLOATS, GpuLayer, Product
from backends.quantization.int8_model import LINEARS

GemmChoices = dict[str, str]  # "product@tokens" → one of gemm_variants.variants
DEFAULT = "default"  # key used instead of a GPU name when nothing was measured
_TILES = ("32x64", "64x64", "64x128", "128x128", "128x128", "128x128")  # default for each bucket


def default(precision: str) -> GemmChoices:
    """The likely best: the library for floats without GELU, our fused GEMM for the rest."""
    library = [name for name in LINEARS if precision in FLOATS and name != "ffn_inner"]
    return {
        key(name, tokens): LIBRARY if name in library else tile
        for name in LINEARS
        for tokens, tile in zip(BUCKETS, _TILES, strict=True)
    }


def measured(layer: GpuLayer, gpu: Gpu, buckets: Sequence[int] = BUCKETS) -> GemmChoices:
    """The fastest variant of each product of `layer` on `gpu` at the tokens of each bucket.

    Raises:
        BackendError: a variant broke the GPU, or none can compute a product; the message names it.
    """
    found: GemmChoices = {}
    for name, product in _products(layer).items():
        for at, tokens in enumerate(buckets):
            x = _input(product, tokens)
            fewest = buckets[at - 1] if at else 1
            offered = variants(product, fewest)
            if dependent.pays(tokens, gpu.device):
                offered = tuple(filter(starts_early, offered))
            timed = {one: _Timed.of(one, name, product, x, gpu) for one in offered}
            found[key(name, tokens)] = fastest = min(timed, key=lambda one: timed[one].milliseconds)
            if timed[fastest].error:
                raise BackendError(f"expected a GEMM variant for {_shape(name, product, tokens)} on {gpu.name}, found "
                                   f"none: {timed[fastest].error}.")  # fmt: skip
    return found


@dataclass(frozen=True)
class _Timed:
    """The time of a variant; infinite, with the error, if this GPU or this version of a library does not have it."""

    milliseconds: float
    error: str = ""

    @classmethod
    def of(cls, variant: str, name: str, product: Product, x: Tensor, gpu: Gpu) -> _Timed:
        try:
            call = build_variant(variant, product, gpu.kernels)
            return cls(gpu.milliseconds(lambda: call(x)))
        except Exception as error:  # noqa: BLE001 - compilers and libraries reject shapes with many types of errors
            _check_alive(gpu, variant, _shape(name, product, len(x)), error)
            return cls(float("inf"), brief(error))


def _check_alive(gpu: Gpu, variant: str, shape: str, error: Exception) -> None:
    """Raises BackendError if the GPU computes no longer: after an illegal access every later call fails too."""
    try:
        gpu.synchronize()
    except RuntimeError:
        raise BackendError(f"expected {gpu.name} to run the GEMM variant {variant} for {shape}, found "
                           f"{brief(error)}.") from error  # fmt: skip


def _shape(name: str, product: Product, tokens: int) -> str:
    outputs, inputs = product.weight.shape
    return f"{name}, [{tokens}, {inputs}] × [{inputs}, {outputs}] in {str(product.weight.dtype).removeprefix('torch.')}"


def _input(product: Product, tokens: int) -> Tensor:
    """Random values: a product with zeros draws less power and runs faster."""
    draw = torch.randn(tokens, product.weight.shape[1], device=product.weight.device)
    return (draw if product.scale is None else draw * 30).to(product.weight.dtype)


class TunedProduct:
    """A product that runs the variant chosen for the batch's bucket."""

    def __init__(self, name: str, product: Product, kernels: GpuKernels, choices: Mapping[str, str]) -> None:
        chosen = [choices[key(name, tokens)] for tokens in BUCKETS]
        made = {one: build_variant(one, product, kernels) for one in set(chosen)}
        self._variants = [made[one] for one in chosen]

    def __call__(self, x: Tensor) -> Tensor:
        return self._variants[min(bisect.bisect_left(BUCKETS, len(x)), len(BUCKETS) - 1)](x)


def key(name: str, tokens: int) -> str:
    """The name under which a layer's choice for batches of `tokens` tokens is stored."""
    return f"{name}@{tokens}"


def _products(layer: GpuLayer) -> dict[str, Product]:
    return {name: getattr(layer, name) for name in LINEARS}
