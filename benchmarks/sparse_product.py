"""The sparse int8 product against oneDNN's dense one, alone, by CPU time: other work on the machine does not count.

    python -m benchmarks.sparse_product --vnni
    python -m benchmarks.sparse_product --vnni --inputs 4096 --outputs 1024 --zeros 0.8 0.9
    python -m benchmarks.sparse_product --vnni --pattern 4x1

One thread of one core multiplies random bytes by a random weight with this share of zero blocks: of four inputs of an
output (block4), or of four outputs of an input (4x1). Dense and sparse run in turns, with the same output types, and
medians of `--rounds` are compared. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from rich.table import Table

from backends.formats.random_weights import BLOCKS
from backends.pytorch_cpu import onednn, product_peak
from backends.pytorch_cpu.kernels import Encoding, bounded, sparse_product
from backends.pytorch_cpu.kernels.sparse_product import SparseProduct, SparseWeights
from foundation import freed_memory, installation, program, terminal

Call = Callable[[], object]
VARIANTS = (*sparse_product.VARIANTS, *bounded.VARIANTS.values())


def outputs() -> dict[str, torch.dtype]:
    """The types that the next operation may need."""
    between = "bfloat16" if onednn.has_bfloat16() else "float32"  # asks oneDNN, which then reads its environment
    return {"uint8": torch.uint8, between: getattr(torch, between)}


def fastest(pattern: str) -> SparseProduct | None:
    """What runs here and takes blocks of this pattern."""
    found = sparse_product.find()
    return (found.of_bounded if found and pattern == "block4" else None) or found


def sparse_call(
    product: SparseProduct, shape: tuple[int, int, int], zeros: float, pattern: str, dtype: torch.dtype
) -> Call:
    """The sparse product of a random weight with this share of zero blocks."""
    m, k, n = shape
    rng = np.random.default_rng(k)
    largest = bounded.largest(product.name)
    weight = rng.integers(-largest, largest + 1, (n, k), dtype=np.int8)
    rows, columns = BLOCKS[pattern]
    gone = rng.random((n // rows, k // columns)) < zeros
    weight[gone.repeat(rows, 0).repeat(columns, 1)] = 0
    weights = SparseWeights(product.layout(weight, of_outputs=rows > columns), torch.full((n,), 2e-4), torch.randn(n))
    x = torch.randint(0, 256, (m, k), dtype=torch.uint8)
    bytes_of = Encoding(dtype, torch.full((n,), 20.0), 128)
    to = (bytes_of if dtype == torch.uint8 else Encoding(dtype)).empty(m, n)
    return lambda: product(x, weights, False, to)


def dense_calls(m: int, k: int, n: int) -> dict[str, Call]:
    """oneDNN's product by output type."""
    return dict(zip(outputs(), product_peak.onednn_int8(m, k, n), strict=False))


def in_turns(calls: dict[str, Call], rounds: int) -> dict[str, float]:
    """Median CPU seconds of each call."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(rounds):
        for name, call in calls.items():
            start_s = time.thread_time()
            call()
            found[name].append(time.thread_time() - start_s)
    return {name: statistics.median(times) for name, times in found.items()}


def measure(
    product: SparseProduct, shape: tuple[int, int, int], shares: list[float], pattern: str, rounds: int
) -> dict[str, float]:
    """Seconds by name: "dense, uint8" or "0.8, bfloat16"."""
    calls = {f"dense, {name}": call for name, call in dense_calls(*shape).items()}
    for share in shares:
        calls |= {
            f"{share}, {name}": sparse_call(product, shape, share, pattern, dtype) for name, dtype in outputs().items()
        }
    return in_turns(calls, rounds)


def _print(shape: tuple[int, int, int], shares: list[float], found: dict[str, float], name: str) -> None:
    m, k, n = shape
    table = Table(title=f"{m} tokens, {k} inputs, {n} outputs, 1 thread, {name}: CPU time, × oneDNN's dense product")
    for column in ("output", "dense, ms", *(f"{share:.0%} zeros" for share in shares)):
        table.add_column(column, justify="right")
    for output in outputs():
        dense = found[f"dense, {output}"]
        cells = (f"{dense / found[f'{share}, {output}']:.2f}×" for share in shares)
        table.add_row(output, f"{dense * 1e3:.2f}", *cells)
    terminal.console().print(table)
    if not onednn.has_exact_int8():
        terminal.console().print("oneDNN's sums are wrong on this machine, which has no VNNI.")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sparse_product", description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=1536)
    parser.add_argument("--inputs", type=int, default=1024)
    parser.add_argument("--outputs", type=int, default=4096)
    parser.add_argument("--zeros", type=float, nargs="+", default=[0.5, 0.8, 0.9, 0.95])
    parser.add_argument("--pattern", choices=("block4", "4x1"), default="block4", help="(default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--core", type=int, default=0, help="to which this process is pinned (default: 0)")
    parser.add_argument("--vnni", action="store_true", help="oneDNN without AMX")
    parser.add_argument("--kernels", choices=VARIANTS, help="(default: the fastest that run here)")
    options = parser.parse_args()
    if options.kernels and bounded.is_bounded(options.kernels) and options.pattern != "block4":
        parser.error(f"argument --kernels: expected kernels for {options.pattern}, found {options.kernels}")
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {options.core})
    if options.vnni:
        os.environ["ONEDNN_MAX_CPU_ISA"] = "AVX512_CORE_VNNI"  # oneDNN reads it at its first product
    product = sparse_product.load(options.kernels) if options.kernels else fastest(options.pattern)
    if product is None:
        todo = installation.build_again()
        raise SystemExit(f"expected the sparse product, found it not built for this machine. Type: {todo}")
    torch.set_num_threads(1)
    torch.manual_seed(1)
    freed_memory.keep()
    shape = (options.tokens, options.inputs, options.outputs)
    with torch.inference_mode():
        found = measure(product, shape, options.zeros, options.pattern, options.rounds)
    _print(shape, options.zeros, found, f"{product.name}, {options.pattern}")
    print(
        json.dumps(
            {
                "shape": shape,
                "pattern": options.pattern,
                "kernels": product.name,
                "ms": {key: 1e3 * s for key, s in found.items()},
            }
        )
    )


if __name__ == "__main__":
    sys.exit(program.run(main))
