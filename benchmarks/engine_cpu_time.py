"""How much of its limits one core's engine reaches, by CPU time: other work on the machine does not count.

    python -m benchmarks.engine_cpu_time
    python -m benchmarks.engine_cpu_time --vnni              # on a machine with AMX: as without it
    python -m benchmarks.engine_cpu_time --products onednn   # without our own product
    python -m benchmarks.engine_cpu_time --attention 16-bit  # without int8 attention
    python -m benchmarks.engine_cpu_time --precision fp32
    python -m benchmarks.engine_cpu_time --stream fp32       # without products that add to the stream

A layer of BERT-Large's geometry, random weights, is related to three limits, all by the CPU time of this one pinned
thread: the products of the same shapes by libraries (oneDNN, and in fp32 MKL) and by our own, each alone with its best
output type, and a loop of the instruction itself on registers. Clock rates and shared caches still depend on the
neighbours, so everything is measured in turn, and medians of `--rounds` are reported. The last line is JSON.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import statistics
import sys
import time
from functools import partial
from typing import Any

import torch
from rich.table import Table

from backends.bert.checkpoints import find_model
from backends.pytorch_cpu import onednn, product_peak
from backends.pytorch_cpu.kernels.float_product import FloatProduct
from backends.pytorch_cpu.kernels.int8_product import Int8Product
from backends.pytorch_cpu.product_peak import Calls
from benchmarks import breakdown
from benchmarks.breakdown import Variant
from foundation import freed_memory, native_library, program, terminal

_LOOPS = 200_000  # of the instruction, about 5 ms
_LIBRARIES = {  # with a loop of this instruction
    "int8": {
        "tiles": "_products_amx",
        "vpdpbusd": "_avx512vnni",
        "vpmaddubsw": "_products_avx2bounded",
        "vpmaddwd": "_products_avx2",
        "smmla": "_products_i8mm",
        "sdot": "_products_dotprod",
    },
    "fp32": {"vfmadd of 512 bits": "_float_product_avx512", "vfmadd of 256 bits": "_float_product_avx2"},
}


def instruction_peak(name: str) -> float | None:
    """GOP/s of a library's loop on registers; None if it was not built."""
    functions = {
        "runs_here": native_library.Function((), ctypes.c_int32),
        "peak_loop": native_library.Function((ctypes.c_int64,), ctypes.c_int64),
    }
    library = native_library.load(f"backends.pytorch_cpu.kernels.{name}", functions)
    if library is None:
        return None
    operations = library.peak_loop(_LOOPS)
    return float(operations / product_peak.seconds(lambda: library.peak_loop(_LOOPS), time.thread_time) / 1e9)


def isolated_ms(tokens: int, calls: Calls) -> dict[str, float]:
    """CPU time of each product alone, without GELU, by the fastest of `calls` for its shape (M, K, N)."""
    config = find_model("random:bert-large").config
    assert config is not None
    shapes = zip(breakdown.PRODUCTS, product_peak.products(config, tokens), strict=True)
    return {
        name: min(product_peak.seconds(call, time.thread_time) for call in calls(*shape)) * 1e3
        for name, shape in shapes
    }


def _ours(product: Int8Product | FloatProduct) -> Calls:
    if isinstance(product, FloatProduct):
        return partial(product_peak.our_float, product=product)
    return partial(product_peak.our_int8, product=product)


def measure(variant: Variant, tokens: int, rounds: int, repeat: int) -> dict[str, Any]:
    """Medians over `rounds` of a layer's parts and of its limits, in ms of CPU time."""
    engines, libraries, ours = [], [], []
    peaks: dict[str, list[float]] = {}
    for _ in range(rounds):
        engines.append(breakdown.measure(variant, tokens, repeat))
        libraries.append(isolated_ms(engines[-1]["tokens"], product_peak.LIBRARIES[variant.precision]))
        if variant.product:
            ours.append(isolated_ms(engines[-1]["tokens"], _ours(variant.product)))
        for instruction, name in _LIBRARIES[variant.precision].items():
            if (found := instruction_peak(name)) is not None:
                peaks.setdefault(instruction, []).append(found)
    first = engines[0]
    return {
        **{
            name: first[name]
            for name in ("precision", "kernels", "products", "attention", "stream", "tokens", "samples")
        },
        "engine_ms": _medians([one["ms"] for one in engines]),
        "libraries_ms": _medians(libraries),
        "ours_ms": _medians(ours),
        "peak_gops": {name: statistics.median(found) for name, found in peaks.items()},
    }


def _medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(one[name] for one in rounds) for name in rounds[0]} if rounds else {}


def with_shares(found: dict[str, Any]) -> dict[str, Any]:
    """`found` and the layer's shares of its limits: the time that a limit alone would take over the layer's time."""
    layer_ms = found["engine_ms"]["all"]
    operations = 2 * 12 * 1024**2 * found["tokens"]  # of the four products
    loops = {f"loop of {name}": operations / rate / 1e6 for name, rate in found["peak_gops"].items()}
    limits = {
        "isolated products, libraries": sum(found["libraries_ms"].values()),
        "isolated products, ours": sum(found["ours_ms"].values()),
        **{name: ms for name, ms in loops.items() if ms < layer_ms},  # what a better instruction exceeds is no limit
    }
    return {**found, "share_of": {name: ms / layer_ms for name, ms in limits.items() if ms}}


def _print(found: dict[str, Any]) -> None:
    table = Table(title=f"{found['precision']}, {found['tokens']} tokens, 1 thread: CPU time")
    for column in ("ms a layer", "engine", "libraries alone", "ours alone"):
        table.add_column(column, justify="left" if column == "ms a layer" else "right")
    for part, ms in found["engine_ms"].items():
        alone = (found[limit].get(part) for limit in ("libraries_ms", "ours_ms"))
        table.add_row(part, f"{ms:.2f}", *("" if one is None else f"{one:.2f}" for one in alone))
    console = terminal.console()
    console.print(table)
    console.print(", ".join(f"{name} {found[name]}" for name in ("kernels", "products", "attention", "stream")))
    for name, rate in found["peak_gops"].items():
        console.print(f"loop of {name}: {rate:,.0f} GOP/s")
    if found["precision"] == "int8" and not onednn.has_exact_int8():
        console.print("oneDNN's sums are wrong on this machine, which has no VNNI: no share of them is a fair one.")
    for name, share in found["share_of"].items():
        console.print(f"a layer's share of {name}: {share:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine_cpu_time", description="The engine's limits.")
    parser.add_argument("--precision", choices=_LIBRARIES, default="int8", help="(default: %(default)s)")
    parser.add_argument("--max-batch-tokens", type=int, default=1536)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeat", type=int, default=9, help="batches a round")
    parser.add_argument("--core", type=int, default=0, help="to which this process is pinned (default: 0)")
    parser.add_argument("--vnni", action="store_true", help="products and kernels without AMX")
    parser.add_argument("--products", choices=(*breakdown.OURS, "onednn"), help="(default: the fastest that run here)")
    parser.add_argument("--attention", choices=breakdown.ATTENTIONS, default="int8", help="(default: %(default)s)")
    parser.add_argument("--stream", choices=breakdown.STREAMS, default="bf16", help="(default: %(default)s)")
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {options.core})
    if options.vnni:
        os.environ["ONEDNN_MAX_CPU_ISA"] = "AVX512_CORE_VNNI"  # oneDNN reads it at its first product
    torch.set_num_threads(1)
    torch.manual_seed(1)
    freed_memory.keep()
    product = breakdown.product_named(options.products or ("vectors" if options.vnni else None), options.precision)
    kernels = breakdown.kernels_named("avx512vnni" if options.vnni else None)
    variant = Variant(
        precision=options.precision,
        kernels=kernels,
        product=product,
        attention=options.attention,
        stream=options.stream,
    )
    with torch.inference_mode():
        found = with_shares(measure(variant, options.max_batch_tokens, options.rounds, options.repeat))
    _print(found)
    print(json.dumps(found))


if __name__ == "__main__":
    sys.exit(program.run(main))
