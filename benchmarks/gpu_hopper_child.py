"""What one contestant of `benchmarks.gpu_hopper` does in its own process: is it right, and how long does it take?

It prints one JSON line before and after each case, so that its parent knows where it hung. It imports,
compiles and opens the GPU first, says so, and waits for a line before it works: one contestant at a time has the GPU.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from backends.gpu import gemm_variants
from backends.gpu.gemm_variants import GemmVariant
from backends.gpu.hopper import gemm as hopper
from backends.gpu.kernels import TRITON, TWIN, GpuKernels
from backends.gpu.kernels import residual as residuals
from backends.gpu.kernels.gemm import TILES
from backends.gpu.kernels.residual import Residual
from backends.gpu.kernels.rounding import store
from backends.gpu.residual_norm import is_normalized_again
from backends.gpu.weights import Product
from backends.pytorch_cpu.kernels import Encoding, LayerNorm
from foundation import program

PRODUCTS = {
    "qkv": (3072, 1024),
    "attention_output": (1024, 1024),
    "ffn_inner": (4096, 1024),
    "ffn_output": (1024, 4096),
}
_RESIDUAL = " + residual"
PRODUCTS |= {name + _RESIDUAL: PRODUCTS[name] for name in ("attention_output", "ffn_output")}  # for Hopper's alone
# type → operands, results of ffn_inner, other results
DTYPES = {
    "fp8": (torch.float8_e4m3fn, torch.float8_e4m3fn, torch.float16),
    "int8": (torch.int8, torch.int8, torch.float16),
    "fp16": (torch.float16, torch.float16, torch.float16),
    "bf16": (torch.bfloat16, torch.bfloat16, torch.bfloat16),
}
CHECKED, TIMED = (1, 177, 5000), (512, 8192, 32768)
TOLERANCE = {torch.float8_e4m3fn: 3e-2, torch.int8: 1e-2, torch.float16: 2e-3, torch.bfloat16: 1e-2}
BASELINE_TILES = tuple(name for name, tile in TILES.items() if tile.rows >= 128)
_FP8_SUMS = 1e-2  # at least: Hopper sums products of fp8 in fewer bits than float32 has
_SPREAD = 30.0  # of the values of bytes
_TIME_MS = 16


def random_product(kind: str, name: str, device: str) -> Product:
    """A product of BERT-Large with results of about one."""
    (n, k), (operand, inner, other) = PRODUCTS[name], DTYPES[kind]
    is_bytes, gelu = operand.itemsize == 1, name == "ffn_inner"
    result = inner if gelu else other
    spread = _SPREAD if is_bytes else k**-0.5
    columns = 0.5 + torch.rand(n, device=device)
    into_bytes = (columns * _SPREAD, -20 if result == torch.int8 else 0) if result.itemsize == 1 else ()
    return Product(
        weight=(torch.randn(n, k, device=device) * spread).to(operand),
        scale=(0.5 + torch.rand(n, device=device)) / (_SPREAD**2 * k**0.5) if is_bytes else None,
        bias=torch.randn(n, device=device) * 0.2,
        gelu=gelu,
        input_encoding=Encoding(operand),
        output_encoding=Encoding(result, *into_bytes),
        has_residual=name.endswith(_RESIDUAL),
    )


def random_residual(product: Product, tokens: int) -> Residual | None:
    """Of rows with a mean of 3 and a deviation of about 1, some of them outliers."""
    if not product.has_residual:
        return None
    n, device = len(product.weight), product.weight.device
    rows = (3 + torch.randn(tokens, n, device=device) ** 3 / 4).to(product.output_encoding.dtype)
    if not is_normalized_again(product.input_encoding):
        return Residual(rows)
    norm = LayerNorm(torch.rand(n, device=device) + 0.5, torch.randn(n, device=device), 1e-12)
    variance, mean = torch.var_mean(rows.float(), 1, correction=0, keepdim=True)
    return Residual(rows, torch.cat([variance.rsqrt(), -mean * variance.rsqrt()], 1), norm)


def random_input(product: Product, tokens: int) -> Tensor:
    k, operand = product.weight.shape[1], product.weight.dtype
    drawn = torch.randn(tokens, k, device=product.weight.device)
    return (drawn * (_SPREAD if operand.itemsize == 1 else 1)).to(operand)


def error(product: Product, x: Tensor, residual: Residual | None, call: GemmVariant) -> float:
    """‖y − reference‖ / ‖reference‖ against float32 sums, of a result into memory that held other bytes."""
    expected = torch.empty(len(x), len(product.weight), dtype=product.output_encoding.dtype, device=x.device)
    sums = x.float() @ product.weight.float().T
    y = (sums if product.scale is None else sums * product.scale) + product.bias
    y = y if residual is None else y + residuals.twin(residual)
    store(F.gelu(y) if product.gelu else y, product.output_encoding, expected)
    poison = torch.full_like(expected.view(torch.uint8), 0x7F)
    del poison  # the allocator hands this memory out next
    difference = call(x, residual).float() - expected.float()
    return float(difference.norm() / expected.float().norm())


def host_us(call: Callable[[], object], calls: int = 200) -> float:
    """Time of enqueueing one call."""
    call()
    start = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - start) / calls * 1e6


def measured_us(call: Callable[[], object], is_gpu: bool) -> float:
    if not is_gpu:
        return host_us(call, 1)
    from triton.testing import do_bench

    return float(do_bench(call, warmup=_TIME_MS // 4, rep=_TIME_MS, return_mode="median")) * 1e3


def cases(names: list[str], kinds: list[str], tokens: tuple[int, ...]) -> Iterator[tuple[str, str, str, int]]:
    yield from ((kind, name, one, count) for count in tokens for kind in kinds for one in PRODUCTS for name in names)


class Contestants:
    """Products of every type, and the functions that compute them."""

    def __init__(self, names: list[str], kinds: list[str], device: str) -> None:
        self._kernels: GpuKernels = TRITON if device == "cuda" else TWIN
        self.products = {(kind, one): random_product(kind, one, device) for kind in kinds for one in PRODUCTS}
        self._calls: dict[tuple[str, str, str], GemmVariant] = {}
        self.failed: dict[tuple[str, str, str], str] = {}
        for name in names:
            for (kind, one), product in self.products.items():
                if not product.has_residual or (name in hopper.SHAPES and device == "cuda"):
                    self._build(name, kind, one, product)

    def _build(self, name: str, kind: str, one: str, product: Product) -> None:
        """Compiles, and runs once where that is Triton's way to compile."""
        try:
            if name in hopper.SHAPES and product.weight.device.type != "cuda":  # a dry run: the twin answers
                call = gemm_variants.build_variant("128x128", product, self._kernels)
            else:
                call = gemm_variants.build_variant(name, product, self._kernels)
            if name in TILES:
                call(random_input(product, 128))
            self._calls[name, kind, one] = call
        except Exception as problem:  # noqa: BLE001 - a compiler's; it is this contestant's result
            self.failed[name, kind, one] = f"{type(problem).__name__}: {str(problem)[:300]}"

    def call(self, name: str, kind: str, one: str) -> GemmVariant | None:
        return self._calls.get((name, kind, one))


def say(**line: Any) -> None:
    print(json.dumps(line), flush=True)


def run(names: list[str], kinds: list[str], device: str, checked: Sequence[int], timed: Sequence[int]) -> None:
    is_gpu = device == "cuda"
    found = Contestants(names, kinds, device)
    for (name, kind, one), problem in found.failed.items():
        say(variant=name, type=kind, product=one, failed=problem)
    say(ready=True)
    sys.stdin.readline()
    broken = set()
    for kind, name, one, tokens in cases(names, kinds, (*checked, *timed)):
        call, product = found.call(name, kind, one), found.products[kind, one]
        if call is None or (name, kind, one) in broken:
            continue
        case = {"variant": name, "type": kind, "product": one, "tokens": tokens}
        say(at=case)
        x, residual = random_input(product, tokens), random_residual(product, tokens)
        try:
            wrong = error(product, x, residual, call)
            least = _FP8_SUMS if kind == "fp8" else 0.0
            right = wrong <= max(TOLERANCE[product.output_encoding.dtype], least)
            figures: dict[str, float] = {}
            if right and tokens in timed:
                figures["us"] = measured_us(lambda c=call, x=x, r=residual: c(x, r), is_gpu)  # type: ignore[misc]  # bound now
                if is_gpu and tokens == min(timed):
                    figures["host_us"] = host_us(lambda c=call, x=x, r=residual: c(x, r))  # type: ignore[misc]
            say(**case, error=wrong, right=right, **figures)
        except Exception as problem:  # noqa: BLE001 - libraries reject shapes with many types of errors
            say(**case, failed=f"{type(problem).__name__}: {str(problem)[:300]}")
            broken.add((name, kind, one))
            if "CUDA error" in str(problem) and "out of memory" not in str(problem):
                return  # the context is lost
    say(done=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--names", nargs="+", required=True)
    parser.add_argument("--kinds", nargs="+", required=True)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--timed", nargs="+", type=int, default=list(TIMED))
    parser.add_argument("--checked", nargs="*", type=int, default=list(CHECKED))
    options = parser.parse_args()
    torch.manual_seed(1)
    torch.backends.cuda.matmul.allow_tf32 = False
    with torch.inference_mode():
        run(options.names, options.kinds, options.device, options.checked, options.timed)


if __name__ == "__main__":
    sys.exit(program.run(main))
