"""Compiles every kernel of a geometry in parallel into Triton's cache, so that later steps only measure.

    TRITON_CACHE_DIR=… python -m benchmarks.gpu_first_run.precompile --work DIR

Kernels are compiled by the backend's own launchers with a driver that launches nothing; this needs no GPU. What fails
here is compiled, or fails, where it is used.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cache
from itertools import repeat
from multiprocessing import get_context
from typing import Any, NamedTuple

import torch

from backends.bert.config import LINEARS, RANDOM_GEOMETRIES, BertConfig
from backends.gpu import gemm_tuning
from backends.gpu.gemm_variants import LIBRARY, build_variant, variants
from backends.gpu.hopper import gemm as hopper
from backends.gpu.hopper import nvrtc, source
from backends.gpu.kernels import TRITON, TWIN, GpuKernels, attention
from backends.gpu.kernels.attention import FORMS
from backends.gpu.kernels.gemm import DEFAULT
from backends.gpu.packed_bert import GpuBert
from backends.gpu.residual_norm import normalized
from backends.gpu.weights import GpuLayer, GpuWeights, Product
from backends.pytorch_cpu.kernels import Encoding
from benchmarks.gpu_first_run import rig as rigs
from benchmarks.gpu_first_run import workload
from benchmarks.gpu_first_run.forward import on_device
from benchmarks.gpu_first_run.rig import PRECISIONS
from foundation import program

_TOKENS = 256  # of a product; their number changes no kernel
_LONGEST = (32, 64, 128, 192, 256, 384)  # attention's blocks depend on the longest sample
_CAPABILITY = 90
_ATTENTION = "attention"
_CPU = torch.device("cpu")
_SPARE_CORES = 2


class Job(NamedTuple):
    """A product's variant, a form of attention, or with neither all that lies between products."""

    precision: str
    product: str = ""
    variant: str = ""


def jobs(config: BertConfig) -> Iterator[Job]:
    """What has to be compiled; products of the same types share their kernels."""
    for precision in PRECISIONS:
        layer = _weights(config, precision).layers[0]
        kinds = {
            (product.gelu, product.output_encoding.dtype, product.has_residual): name
            for name, product in _products(layer)
        }
        for name in kinds.values():
            yield from (Job(precision, name, one) for one in hopper.SHAPES)
            yield from (Job(precision, name, one) for one in reversed(variants(getattr(layer, name), _TOKENS)))
    yield from (Job(precision, _ATTENTION, form) for precision in PRECISIONS for form in FORMS)
    yield from (Job(precision) for precision in PRECISIONS)


def _products(layer: GpuLayer) -> list[tuple[str, Product]]:
    return [(name, getattr(layer, name)) for name in LINEARS]


def run(config: BertConfig, job: Job, kernels: GpuKernels) -> None:
    """Compile a job's kernels by calling them."""
    weights = _weights(config, job.precision)
    if job.product == _ATTENTION:
        _attend(config, weights, job.variant)
        return
    if job.product:
        product: Product = getattr(weights.layers[0], job.product)
        if job.variant in hopper.SHAPES:
            nvrtc.cached_code(source.source(hopper.SHAPES[job.variant], hopper.types(product)))
            return
        build_variant(job.variant, product, kernels)(workload.operand(product, _TOKENS))
        return
    _epilogues(weights, kernels)
    _norms(weights, kernels)
    bert = GpuBert(weights, replace(kernels, gemm=_nothing), dict.fromkeys(gemm_tuning.default(job.precision), DEFAULT))
    for longest in _LONGEST:
        with torch.inference_mode():
            bert(on_device(_CPU, workload.samples_of([longest], weights.config.vocab_size)))


def _attend(config: BertConfig, weights: GpuWeights, form: str) -> None:
    """Compile a form of attention."""
    layer, width = weights.layers[0], config.hidden_size
    encoding = layer.attention_output.input_encoding
    batch = on_device(_CPU, workload.samples_of([_TOKENS], weights.config.vocab_size))
    qkv = torch.zeros(_TOKENS, 3 * width, dtype=layer.qkv.output_encoding.dtype)
    to = torch.empty(_TOKENS, width, dtype=encoding.dtype)
    attention.launch(qkv, batch.cu_seqlens, _TOKENS, config.num_attention_heads, encoding, to, form)


def _epilogues(weights: GpuWeights, kernels: GpuKernels) -> None:
    """What follows a product of the library, which may have none on a CPU."""
    layer = weights.layers[0]
    for _, product in _products(layer):
        is_int8 = product.weight.dtype == torch.int8
        if is_int8 or product.gelu:
            sums = torch.zeros(
                _TOKENS, len(product.weight), dtype=torch.int32 if is_int8 else layer.qkv.output_encoding.dtype
            )
            to = torch.empty(sums.shape, dtype=product.output_encoding.dtype)
            scale = product.scale if is_int8 else None
            kernels.epilogue(sums, scale, product.bias, product.gelu, product.output_encoding, to)


def _norms(weights: GpuWeights, kernels: GpuKernels) -> None:
    """What follows a product that has added its residual; the forward pass compiles the other form."""
    layer = weights.layers[0]
    for following in {one.dtype: one for one in (layer.qkv.input_encoding, Encoding(weights.stream))}.values():
        for tokens in (1, _TOKENS):
            sums = torch.zeros(tokens, weights.config.hidden_size, dtype=weights.stream)
            normalized(kernels, sums, None, layer.ffn_norm, following)


@cache
def _weights(config: BertConfig, precision: str) -> GpuWeights:
    """One layer with a small vocabulary, for types and shapes."""
    small = replace(config, num_hidden_layers=1, vocab_size=_TOKENS)
    return workload.on_device(small, precision, _CPU)


def _nothing(*_: Any) -> None:
    pass


class _Driver:
    """As much of Triton's driver as compiling for a Hopper GPU needs."""

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int | None = None) -> int:
        return 0

    def get_current_target(self) -> Any:
        from triton.backends.compiler import GPUTarget

        return GPUTarget("cuda", _CAPABILITY, 32)

    def get_active_torch_device(self) -> torch.device:
        return torch.device("cpu")

    def get_device_capability(self, device: int = 0) -> tuple[int, int]:
        return divmod(_CAPABILITY, 10)

    def map_python_to_cpp_type(self, kind: str) -> str:
        return kind


def _launch_nothing() -> None:
    """In this process Triton's kernels are compiled and not launched."""
    import triton
    from triton.runtime import jit

    triton.runtime.driver.set_active(_Driver())
    launch = jit.JITFunction.run

    def warm_up(self: Any, *arguments: Any, grid: Any, warmup: bool, **named: Any) -> Any:
        return launch(self, *arguments, grid=grid, warmup=True, **named)

    jit.JITFunction.run = warm_up


def _compile(config: BertConfig, job: Job) -> tuple[float, str]:
    """Seconds, and an error or ""."""
    torch.set_num_threads(1)
    _launch_nothing()
    start_s, failed = time.perf_counter(), ""
    try:
        run(config, job, TRITON)
    except Exception as error:  # noqa: BLE001 - compilers raise what they like
        failed = f"{' '.join(job)}: {rigs.first_line(error)}"
    return time.perf_counter() - start_s, failed


def _in_parallel(config: BertConfig, todo: Sequence[Job]) -> tuple[list[str], float]:
    """Errors, and seconds of work. A compiler that crashes ends this step, and the kernels made so far stay."""
    failed, spent_s = [], 0.0
    workers = max(1, (os.cpu_count() or 1) - _SPARE_CORES)
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        for seconds, error in pool.map(_compile, repeat(config), todo):
            spent_s += seconds
            failed += [error] * bool(error)
    return failed, spent_s


def main(argv: Sequence[str] | None = None) -> int:
    options = rigs.options(__doc__, argv)
    config, start_s = RANDOM_GEOMETRIES["bert-tiny" if options.dry_run else options.geometry], time.perf_counter()
    todo = list(jobs(config))
    failed, spent_s = _tried(config, todo) if options.dry_run else _in_parallel(config, todo)
    for error in failed:
        rigs.note(error)
    passed_s = time.perf_counter() - start_s
    print(f"{len(todo)} jobs, {len(failed)} failed, {spent_s:.0f} s of work in {passed_s:.0f} s", flush=True)
    return 0


def _tried(config: BertConfig, todo: Sequence[Job]) -> tuple[list[str], float]:
    """A dry run: one job of each kind that has twins."""
    twins = (job for job in todo if job.product != _ATTENTION and job.variant not in (LIBRARY, *hopper.SHAPES))
    kinds = {(job.precision, not job.product): job for job in twins}
    for job in kinds.values():
        run(config, job, TWIN)
    return [], 0.0


if __name__ == "__main__":
    sys.exit(program.run(main))
