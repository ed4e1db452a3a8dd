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
neighbours, and change within a minute: the engine's batch, each product and each loop take turns, once each, and a
share is the median of those of the turns. The last line is JSON.
"""

from __future__ import annotations

import argparse
import ctypes
import functools
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from rich.table import Table

from backends.bert.checkpoints import find_model
from backends.pytorch_cpu import onednn, product_peak
from backends.pytorch_cpu.kernels.float_product import FloatProduct
from backends.pytorch_cpu.kernels.int8_product import Int8Product
from backends.pytorch_cpu.product_peak import Call, Calls
from benchmarks import breakdown
from benchmarks.breakdown import TimedEngine, Variant, medians
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


@functools.cache
def _loop(name: str) -> Callable[[], int] | None:
    """A library's loop on registers, which returns its operations; None if it was not built or does not run here."""
    functions = {
        "runs_here": native_library.Function((), ctypes.c_int32),
        "peak_loop": native_library.Function((ctypes.c_int64,), ctypes.c_int64),
    }
    library = native_library.load(f"backends.pytorch_cpu.kernels.{name}", functions)
    return None if library is None else partial(library.peak_loop, _LOOPS)


def _cpu_ms(call: Call) -> float:
    start_s = time.thread_time()
    call()
    return (time.thread_time() - start_s) * 1e3


class Isolated:
    """The products of a layer, each alone and without GELU, by several ways to compute each."""

    def __init__(self, tokens: int, ways: Calls) -> None:
        config = find_model("random:bert-large").config
        assert config is not None
        shapes = zip(breakdown.PRODUCTS, product_peak.products(config, tokens), strict=True)
        self._calls = {name: list(ways(*shape)) for name, shape in shapes}
        self._turns: list[dict[str, list[float]]] = []
        self.take_turn()  # which is not counted
        self._turns.clear()

    def take_turn(self) -> None:
        """Time each product in each way once, its operands in the caches where they fit."""

        def warm_ms(call: Call) -> float:
            call()
            return _cpu_ms(call)

        self._turns.append({name: [warm_ms(call) for call in calls] for name, calls in self._calls.items()})

    def ms(self) -> list[dict[str, float]]:
        """CPU time of each product by its fastest way, for each turn."""
        fastest = {
            name: min(range(len(calls)), key=lambda way: statistics.median(turn[name][way] for turn in self._turns))
            for name, calls in self._calls.items()
            if calls
        }
        return [{name: turn[name][way] for name, way in fastest.items()} for turn in self._turns]


def measure(variant: Variant, max_batch_tokens: int, rounds: int, repeat: int) -> dict[str, Any]:
    """Medians of a layer's parts and of its limits, in ms of CPU time, and of its shares of them.

    Args:
        rounds, repeat: engines, and turns of each, of everything that is measured.
    """
    layers: list[dict[str, float]] = []
    alone: dict[str, list[dict[str, float]]] = {"libraries": [], "ours": []}
    loops: dict[str, list[float]] = {}  # GOP/s
    facts: dict[str, Any] = {}
    for _ in range(rounds):
        engine = TimedEngine(variant, max_batch_tokens)
        facts, ways = engine.facts, {"libraries": product_peak.LIBRARIES[variant.precision]}
        if variant.product:
            ways["ours"] = _ours(variant.product)
        isolated = {name: Isolated(facts["tokens"], calls) for name, calls in ways.items()}
        for _ in range(repeat):
            layers.append(engine.layer_ms())
            for one in isolated.values():
                one.take_turn()
            for instruction, name in _LIBRARIES[variant.precision].items():
                if loop := _loop(name):
                    loops.setdefault(instruction, []).append(loop() / _cpu_ms(loop) / 1e6)
        for name, one in isolated.items():
            alone[name] += one.ms()
    found = {
        name: facts[name] for name in ("precision", "kernels", "products", "attention", "stream", "tokens", "samples")
    }
    return {
        **found,
        "engine_ms": medians(layers),
        **{f"{name}_ms": medians(turns) for name, turns in alone.items()},
        "peak_gops": {name: statistics.median(rates) for name, rates in loops.items()},
        "share_of": _shares(facts["tokens"], [one["all"] for one in layers], alone, loops),
    }


def _ours(product: Int8Product | FloatProduct) -> Calls:
    if isinstance(product, FloatProduct):
        return partial(product_peak.our_float, product=product)
    return partial(product_peak.our_int8, product=product)


def _shares(
    tokens: int,
    layer_ms: list[float],
    alone: Mapping[str, list[dict[str, float]]],
    loops: Mapping[str, list[float]],
) -> dict[str, float]:
    """The time that a limit alone would take over the layer's time of the same turn, the median of the turns."""
    operations = 2 * 12 * 1024**2 * tokens  # of the four products
    limits = {
        **{f"isolated products, {name}": [sum(turn.values()) for turn in turns] for name, turns in alone.items()},
        **{f"loop of {name}": [operations / rate / 1e6 for rate in rates] for name, rates in loops.items()},
    }
    shares = {
        name: statistics.median(ms / layer for ms, layer in zip(turns, layer_ms, strict=True))
        for name, turns in limits.items()
        if turns
    }
    # A layer that is faster than a loop runs a better instruction.
    return {name: share for name, share in shares.items() if share < 1 or not name.startswith("loop")}


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
    parser.add_argument("--rounds", type=int, default=3, help="engines (default: %(default)s)")
    parser.add_argument("--repeat", type=int, default=9, help="turns of each engine (default: %(default)s)")
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
        found = measure(variant, options.max_batch_tokens, options.rounds, options.repeat)
    _print(found)
    print(json.dumps(found))


if __name__ == "__main__":
    sys.exit(program.run(main))
