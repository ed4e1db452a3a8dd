"""Chooses the GEMM variant of each product at each number of tokens: measured on this GPU, or the default.

A choice is valid for one GPU (choice_cache.py); on another one it is measured when the model is loaded, before the
clock. All layers have the same shapes, so only the first is measured. A product with a residual is measured with the
LayerNorm after it, which has less to do where the product has added the residual.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from backends.bert.config import LINEARS
from backends.errors import BackendError, brief
from backends.gpu.engine import BUCKETS
from backends.gpu.gemm_variants import LIBRARY, GemmVariant, adds_residual, build_variant, starts_early, variants
from backends.gpu.kernels import GpuKernels
from backends.gpu.kernels.residual import Residual
from backends.gpu.residual_norm import is_normalized_again, normalized
from backends.gpu.runtime import Gpu
from backends.gpu.weights import FLOATS, GpuLayer, Product
from backends.pytorch_cpu.kernels import Encoding, LayerNorm

GemmChoices = dict[str, str]  # "product@tokens" → one of gemm_variants.variants
DEFAULT = "default"  # key used instead of a GPU name when nothing was measured
_NEAR, _LONG_MS = 1.15, 0.1  # of the fastest time: a variant that is measured again, if that time is long
_TILES = ("32x64", *("64x64",) * 5, *("128x128",) * 3)  # default for each bucket


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
            x, residual = _input(product, tokens), random_residual(layer, name, tokens)
            fewest = buckets[at - 1] if at else 1
            offered = variants(product, fewest)
            timed = {one: _Timed.of(one, layer, name, x, residual, gpu) for one in offered}
            fastest = min(timed, key=lambda one: timed[one].milliseconds)
            if timed[fastest].error:
                raise BackendError(f"expected a GEMM variant for {_shape(name, product, tokens)} on {gpu.name}, found "
                                   f"none: {timed[fastest].error}.")  # fmt: skip
            times = in_turns(
                {one: time.milliseconds for one, time in timed.items()},
                lambda one: _Timed.of(one, layer, name, x, residual, gpu).milliseconds,  # noqa: B023 - called here
            )
            found[key(name, tokens)] = min(times, key=lambda one: times[one])
    return found


def in_turns(times: Mapping[str, float], milliseconds: Callable[[str], float]) -> dict[str, float]:
    """The times of the variants that are near the fastest, measured again there and back, if they are long.

    What is measured first has a GPU below its power limit, with higher clocks, than what comes after.
    """
    least = min(times.values())
    near = [one for one, time in times.items() if time <= _NEAR * least]
    if least < _LONG_MS or len(near) == 1:
        return {one: times[one] for one in near}
    there, back = ({one: milliseconds(one) for one in order} for order in (near, near[::-1]))
    return {one: (there[one] + back[one]) / 2 for one in near}


@dataclass(frozen=True)
class _Timed:
    """The time of a variant; infinite, with the error, if this GPU or this version of a library does not have it."""

    milliseconds: float
    error: str = ""

    @classmethod
    def of(cls, variant: str, layer: GpuLayer, name: str, x: Tensor, residual: Residual | None, gpu: Gpu) -> _Timed:
        try:
            return cls(gpu.milliseconds(timed_call(variant, layer, name, x, residual, gpu.kernels)))
        except Exception as error:  # noqa: BLE001 - compilers and libraries reject shapes with many types of errors
            check_alive(gpu, variant, _shape(name, getattr(layer, name), len(x)), error)
            return cls(float("inf"), brief(error))


def timed_call(
    variant: str, layer: GpuLayer, name: str, x: Tensor, residual: Residual | None, kernels: GpuKernels
) -> Callable[[], Tensor]:
    """What is timed of a layer's product `name`: it alone, or with the LayerNorm after it if it has a residual."""
    call = build_variant(variant, getattr(layer, name), kernels)
    if residual is None:
        return lambda: call(x)
    left = None if adds_residual(variant) else residual
    return lambda: normalized(kernels, call(x, residual), left, *_norms(layer)[name])[0]


def random_residual(layer: GpuLayer, name: str, tokens: int) -> Residual | None:
    """A residual for a layer's product `name`; None if it has none."""
    product: Product = getattr(layer, name)
    if not product.has_residual:
        return None
    device = product.weight.device
    rows = torch.randn(tokens, len(product.weight), device=device).to(product.output_encoding.dtype)
    if not is_normalized_again(product.input_encoding):
        return Residual(rows)
    return Residual(rows, 0.5 + torch.rand(tokens, 2, device=device), layer.attention_norm)


def _norms(layer: GpuLayer) -> dict[str, tuple[LayerNorm, Encoding]]:
    """The LayerNorm after a product with a residual, and the encoding that it writes."""
    return {
        "attention_output": (layer.attention_norm, layer.ffn_inner.input_encoding),
        "ffn_output": (layer.ffn_norm, layer.qkv.input_encoding),
    }


def check_alive(gpu: Gpu, variant: str, shape: str, error: Exception) -> None:
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
        self._variants = [(made[one], adds_residual(one)) for one in chosen]

    def __call__(self, x: Tensor) -> Tensor:
        """The product, [T, N]."""
        variant, _ = self._variant(x)
        return variant(x)

    def plus(self, x: Tensor, residual: Residual) -> tuple[Tensor, Residual | None]:
        """The product with the residual added; or without, and the residual that is left to add."""
        variant, adds = self._variant(x)
        return variant(x, residual), None if adds else residual

    def _variant(self, x: Tensor) -> tuple[GemmVariant, bool]:
        return self._variants[_at(len(x))]


def start_early(choices: Mapping[str, str], tokens: int) -> bool:
    """True if all products of a pass over `tokens` tokens start early."""
    return all(map(starts_early, of(choices, tokens).values()))


def of(choices: Mapping[str, str], tokens: int) -> dict[str, str]:
    """The variant of each product in a batch of `tokens` tokens."""
    return {name: choices[bucket_key(name, tokens)] for name in LINEARS}


def bucket_key(name: str, tokens: int) -> str:
    """The key of a choice for a batch of any number of tokens."""
    return key(name, BUCKETS[_at(tokens)])


def _at(tokens: int) -> int:
    """The number of a batch's bucket."""
    return min(bisect.bisect_left(BUCKETS, tokens), len(BUCKETS) - 1)


def key(name: str, tokens: int) -> str:
    """The name under which a layer's choice for batches of `tokens` tokens is stored."""
    return f"{name}@{tokens}"


def _products(layer: GpuLayer) -> dict[str, Product]:
    return {name: getattr(layer, name) for name in LINEARS}
