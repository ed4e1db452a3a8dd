"""The machine's peak at BERT's matrix products: the limit to which `benchmarks.cpu` and `sut tune` relate results.

Per precision, the four products of a layer (query-key-value, attention output, both of the feed-forward) are run by
every available kernel, with all cores on one product or each pinned core on its own, and with a few batch sizes. The
layer's operations divided by the sum of the best times is the peak: no combination of these kernels is faster. The
rate at which weights are read from memory is the other limit, of batches that are small.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch

from backends.bert.encoder import EncoderConfig
from backends.pytorch_cpu import onednn
from backends.pytorch_cpu.kernels import Encoding, bounded, float_product, int8_product
from backends.pytorch_cpu.kernels.base import BYTE_SHIFT, BYTES
from backends.pytorch_cpu.kernels.float_product import IN_BLOCKS, FloatProduct, FloatWeights
from backends.pytorch_cpu.kernels.int8_product import Int8Product, Int8Weights
from foundation import freed_memory

TOKENS = (1024, 1536)  # of a packed batch
_SECONDS = 0.25  # for which one kernel is timed on one product
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
PRECISIONS = (*_DTYPES, "int8")
_READ_BYTES = 1 << 30  # more than the caches hold
_READ_WIDTH, _READS = 4096, 5
Product = tuple[int, int, int]  # M, K, N
Call = Callable[[], object]
Calls = Callable[[int, int, int], Iterator[Call]]  # ways to compute a product of M, K, N
Clock = Callable[[], float]  # seconds


def products(config: EncoderConfig, tokens: int) -> list[Product]:
    """The matrix products of one layer, (M, K, N): tokens by inputs by outputs."""
    return [(tokens, one.inputs, one.outputs) for one in config.linears().values()]


def kernels(precision: str, product: Product) -> Iterator[Call]:
    """Every available way to compute one product."""
    if precision == "fp32" or (precision == "bf16" and not onednn.has_bfloat16()):  # as `linear.FloatLinear`
        yield from library_floats("fp32", *product)
        yield from our_float(*product, float_product.find())
        return
    ours: list[Call] = []
    if precision == "int8" and (found := int8_product.find()):
        ours = [call for one in (found, found.of_bounded) for call in our_int8(*product, one)]
    yield from ours
    if precision == "bf16" or onednn.has_exact_int8():
        yield from LIBRARIES[precision](*product)
    elif not ours:  # as `linear.Int8FloatLinear`
        yield from library_floats("fp32", *product)


def library_floats(precision: str, m: int, k: int, n: int) -> Iterator[Call]:
    """PyTorch's product, and oneDNN's and MKL's with their own layouts of the weight."""
    x, weight, bias = (torch.randn(*shape).to(_DTYPES[precision]) for shape in ((m, k), (n, k), (n,)))
    yield lambda: torch.nn.functional.linear(x, weight, bias)
    if onednn.packs(_DTYPES[precision]):
        packed = torch.ops.mkldnn._reorder_linear_weight(weight, m)
        yield lambda: torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], "")
    if precision == "fp32" and torch._C.has_mkl and hasattr(torch.ops.mkl, "_mkl_linear"):
        by_mkl = torch.ops.mkl._mkl_reorder_linear_weight(weight, m)
        yield lambda: torch.ops.mkl._mkl_linear(x, by_mkl, weight, bias, m)


def onednn_int8(m: int, k: int, n: int) -> Iterator[Call]:
    """oneDNN's products of bytes by int8, with each output type that the next operation may need, right or
    wrong (`onednn.has_exact_int8`)."""
    x = torch.randint(0, 256, (m, k), dtype=torch.uint8).view(BYTES)
    packed = torch.ops.onednn.qlinear_prepack(torch.randint(-127, 128, (n, k), dtype=torch.int8), [m, k])
    scales, zeros, bias = torch.full((n,), 0.01), torch.zeros(n, dtype=torch.int32), torch.randn(n)
    halves = [(torch.bfloat16, 1.0, 0)] if onednn.has_bfloat16() else []
    for dtype, scale, zero in ((BYTES, 0.05, 128 - BYTE_SHIFT), *halves, (torch.float32, 1.0, 0)):
        yield lambda dtype=dtype, scale=scale, zero=zero: torch.ops.onednn.qlinear_pointwise(  # type: ignore[misc]
            x, 0.02, 128 - BYTE_SHIFT, packed, scales, zeros, bias, scale, zero, dtype, "none", [], "none"
        )


def our_int8(m: int, k: int, n: int, product: Int8Product | None) -> Iterator[Call]:
    """Our own product, where it runs."""
    if product is None or not product.fits(k, n):
        return
    x = Encoding(BYTES, in_blocks=True).empty(m, k).values.random_(0, 128)
    largest = bounded.largest(product.variant)
    panels = product.panels(torch.randint(-largest, largest + 1, (n, k), dtype=torch.int8))
    weights = Int8Weights(panels, torch.full((n,), 2e-4), torch.randn(n))
    for output in (Encoding(BYTES, torch.full((n,), 20.0), 128 - BYTE_SHIFT, True), Encoding(torch.bfloat16)):
        to = output.empty(m, n)
        yield lambda to=to: product(x, weights, False, to)  # type: ignore[misc]


def our_float(m: int, k: int, n: int, product: FloatProduct | None) -> Iterator[Call]:
    """Our own product of float32, where it runs."""
    if product is None or not product.fits(k, n):
        return
    x, to = IN_BLOCKS.laid_out(torch.randn(m, k)), IN_BLOCKS.empty(m, n)
    weights = FloatWeights(product.panels(torch.randn(n, k)), torch.randn(n))
    yield lambda: product(x, weights, False, to)


LIBRARIES: dict[str, Calls] = {  # by precision
    "fp32": partial(library_floats, "fp32"),
    "bf16": partial(library_floats, "bf16"),
    "int8": onednn_int8,
}


def seconds(call: Call, clock: Clock = time.perf_counter) -> float:
    """Median time of one call, by `clock`."""
    call()
    times: list[float] = []
    while sum(times) < _SECONDS:
        start_s = clock()
        call()
        times.append(clock() - start_s)
    return statistics.median(times)


def layer_rate(precision: str, config: EncoderConfig, tokens: int, clock: Clock = time.perf_counter) -> float:
    """GOP/s of a layer's products on this process's threads, each with its fastest kernel, by `clock`."""
    freed_memory.keep()
    shapes = products(config, tokens)
    total_s = sum(min(seconds(call, clock) for call in kernels(precision, product)) for product in shapes)
    return sum(2 * m * k * n for m, k, n in shapes) / total_s / 1e9


def _alone(core: int, precision: str, config: EncoderConfig, start: object, found: object) -> None:
    """The process of one pinned core in `pinned_rate`."""
    os.sched_setaffinity(0, {core})
    torch.set_num_threads(1)
    start.wait()  # type: ignore[attr-defined]
    found.put(layer_rate(precision, config, TOKENS[0]))  # type: ignore[attr-defined]


def pinned_rate(precision: str, config: EncoderConfig, cores: list[int]) -> float:
    """GOP/s of all cores together, each working on its own products."""
    context = multiprocessing.get_context("spawn")
    start, found = context.Barrier(len(cores)), context.Queue()
    workers = [
        context.Process(target=_alone, args=(core, precision, config, start, found), daemon=True) for core in cores
    ]
    for worker in workers:
        worker.start()
    rates = [found.get(timeout=300) for _ in workers]
    for worker in workers:
        worker.join()
    return float(sum(rates))


def peak(precision: str, config: EncoderConfig, clock: Clock = time.perf_counter) -> dict[str, float]:
    """GOP/s by way to use the machine."""
    found = {f"{tokens} tokens": layer_rate(precision, config, tokens, clock) for tokens in TOKENS}
    cores = _cores()
    if len(cores) > 1:
        found["a core each"] = pinned_rate(precision, config, cores)
    return found


def read_rate() -> float:
    """GB/s at which all cores read weights from memory: a product of one token, so large that no cache holds it."""
    weights, token, times = torch.ones(_READ_BYTES // 4 // _READ_WIDTH, _READ_WIDTH), torch.ones(_READ_WIDTH), []
    with _all_cores():
        for _ in range(_READS):
            start_s = time.perf_counter()
            torch.mv(weights, token)
            times.append(time.perf_counter() - start_s)
    return _READ_BYTES / min(times) / 1e9


def best(precision: str, config: EncoderConfig, clock: Clock = time.perf_counter) -> tuple[float, dict[str, float]]:
    """(the peak in GOP/s, GOP/s by way to use the machine), on all cores that this process may use."""
    torch.manual_seed(1)
    with _all_cores():
        ways = peak(precision, config, clock)
    return max(ways.values()), ways


def _cores() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


@contextmanager
def _all_cores() -> Iterator[None]:
    """As many threads as the process may use cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(len(_cores()) or os.cpu_count() or 1)
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_num_threads(before)
