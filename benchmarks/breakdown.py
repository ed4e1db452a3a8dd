"""The time of the packed PyTorch engine by part, on random weights and lengths like SQuAD's.

    python -m benchmarks.breakdown --precision int8 --threads 1
    python -m benchmarks.breakdown --precision int8 --kernels plain    # the PyTorch reference kernels
    python -m benchmarks.breakdown --precision int8 --kernels avx512   # the kernels of another instruction set
    python -m benchmarks.breakdown --precision int8 --products onednn  # without our own product; fp32 too
    python -m benchmarks.breakdown --precision int8 --attention 16-bit # that of bf16 instead of int8 attention
    python -m benchmarks.breakdown --precision int8 --stream fp32      # the stream in float32, not added to by products
    python -m benchmarks.breakdown --precision int8 --zeros 0.8        # pruned weights, whose zeros are skipped

A few layers of BERT-Large's geometry run over one batch; each part is timed in place, so that caches are in the same
state as in a run. With one thread, times are that thread's CPU time, in which other work on the machine does not count;
with more, wall time. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from rich.table import Table

from backends.base import Batch
from backends.bert.architectures import require_bert
from backends.bert.checkpoints import find_model, read_tensors
from backends.bert.config import BertConfig
from backends.bert.model import Model
from backends.pytorch_cpu import packed_bert
from backends.pytorch_cpu.kernels import CpuKernels, best, bounded, float_product, int8_product, native, sparse_product
from backends.pytorch_cpu.kernels.float_product import FloatProduct
from backends.pytorch_cpu.kernels.int8_product import Int8Product
from backends.pytorch_cpu.kernels.reference import ReferenceKernels
from backends.pytorch_cpu.kernels.residual_stream import ResidualStream
from backends.pytorch_cpu.packed_bert import PackedBert
from backends.quantization import calibration
from backends.quantization.calibration import CalibrationSettings
from benchmarks.length_matched import LENGTHS
from foundation import freed_memory, program, terminal

LAYERS = 4
PRODUCTS = ("qkv", "attention_output", "ffn_inner", "ffn_output")
KERNELS = ("embed", "attention", "add_norm")
ATTENTIONS = ("int8", "16-bit")
STREAMS = ("bf16", "fp32")
OURS = {  # our own products of int8, and their variants; fp32 has vectors
    "tiles": "amx",
    "vectors": "avx512vnni",
    "bytes": "avx2bounded",
    "words": "avx2",
    "i8mm": "i8mm",
    "dotprod": "dotprod",
}
Times = Counter[str]


@dataclass(frozen=True, kw_only=True)
class Variant:
    """What is measured."""

    precision: str
    kernels: CpuKernels
    product: Int8Product | FloatProduct | None  # of int8 or fp32; None: oneDNN's
    attention: str = "int8"  # one of ATTENTIONS, in int8 only
    stream: str = "bf16"  # one of STREAMS, in int8 by our own product only
    zeros: float = 0.0  # share of the weights' blocks of 4 that are zero


def _now_s() -> float:
    return time.thread_time() if torch.get_num_threads() == 1 else time.perf_counter()


class _Timed:
    """Wraps a callable and adds up its time, and that of its `add`; other attributes are those of the wrapped one."""

    def __init__(self, inside: Callable[..., Any], name: str, times: Times) -> None:
        self._inside, self._name, self._times = inside, name, times

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inside, name)
        return _Timed(found, self._name, self._times) if name == "add" else found

    def __call__(self, *arguments: Any) -> Any:
        start_s = _now_s()
        found = self._inside(*arguments)
        self._times[self._name] += _now_s() - start_s  # type: ignore[assignment]
        return found


class _TimedKernels:
    def __init__(self, kernels: CpuKernels, times: Times) -> None:
        self.name = kernels.name
        for name in KERNELS:
            setattr(self, name, _Timed(getattr(kernels, name), name, times))


class _TimedStream:
    def __init__(self, stream: ResidualStream, times: Times) -> None:
        self.embed, self.norm = _Timed(stream.embed, "embed", times), _Timed(stream.norm, "add_norm", times)


def _timed(bert: PackedBert, times: Times) -> PackedBert:
    def timed(layer: Any) -> Any:
        parts = [*PRODUCTS, *(["attention"] if layer.attention else [])]
        return replace(layer, **{name: _Timed(getattr(layer, name), name, times) for name in parts})

    kernels: Any = _TimedKernels(bert.kernels, times)
    stream: Any = bert.stream and _TimedStream(bert.stream, times)
    return replace(bert, layers=tuple(timed(layer) for layer in bert.layers), kernels=kernels, stream=stream)


def _load(variant: Variant) -> PackedBert:
    model = find_model(f"random:bert-large?sparsity={variant.zeros}" if variant.zeros else "random:bert-large")
    assert model.config is not None
    config = replace(require_bert(model.config, "benchmarks.breakdown"), num_hidden_layers=LAYERS)
    tensors = read_tensors(Model(model.spec, config, None))
    if variant.precision != "int8":
        dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[variant.precision]
        own = variant.product if isinstance(variant.product, FloatProduct) else None
        return packed_bert.from_floats(config, tensors, dtype, variant.kernels, own)
    samples = [_batch(config, [length]) for length in LENGTHS]
    ours = variant.product if isinstance(variant.product, Int8Product) else None
    settings = CalibrationSettings(
        int8_attention=variant.attention == "int8",
        compensated=False,
        bounded=ours is not None and bounded.is_bounded(ours.variant),
    )
    engine = calibration.calibrate(config, tensors, samples, settings, torch.get_num_threads())
    bert = packed_bert.from_engine(engine, variant.kernels, ours, sparse_product.find())
    return bert if variant.stream == "bf16" else replace(bert, stream=None)


def kernels_named(name: str | None) -> CpuKernels:
    if name is None:
        return best(1024, 64)
    if name == "plain":
        return ReferenceKernels()
    library = native.load(name)
    if library is None:
        raise SystemExit(
            f"expected the kernels {name}, found them not built or not supported by this CPU. Type: --kernels plain."
        )
    return native.NativeKernels(name, library)


def _fastest_int8() -> Int8Product | None:
    found = int8_product.find()
    return found and (found.of_bounded or found)


def product_named(name: str | None, precision: str = "int8") -> Int8Product | FloatProduct | None:
    """The precision's product called so in `OURS`, or the fastest that runs here; None: oneDNN's."""
    if name == "onednn" or precision == "bf16":
        return None
    find = float_product.find if precision == "fp32" else _fastest_int8
    if name is None:
        return find()
    found = int8_product.load(OURS[name]) if precision == "int8" else find() if name == "vectors" else None
    if found is None:
        raise SystemExit(
            f"expected our products of {precision} in {name}, found them not built or that this CPU lacks their "
            "instructions. Type: --products onednn."
        )
    return found


def _name_of(product: Int8Product | FloatProduct | None) -> str:
    if isinstance(product, FloatProduct):
        return "vectors"
    return next((name for name, variant in OURS.items() if product and product.variant == variant), "onednn")


def _batch(config: BertConfig, lengths: list[int]) -> Batch:
    rng = np.random.default_rng(len(lengths))
    return Batch.of([(rng.integers(0, config.vocab_size, length), np.zeros(length, np.int64)) for length in lengths])


def _lengths(max_batch_tokens: int) -> list[int]:
    """Lengths of as many samples as fit, spread evenly over SQuAD's."""
    count = max(1, round(max_batch_tokens / float(np.mean(LENGTHS))))
    where = (np.arange(count) + 0.5) / count * (len(LENGTHS) - 1)
    return [int(length) for length in np.interp(where, np.arange(len(LENGTHS)), LENGTHS)]


class TimedEngine:
    """An engine of a few layers that has run a batch of about `max_batch_tokens` tokens once."""

    def __init__(self, variant: Variant, max_batch_tokens: int) -> None:
        self._times: Times = Counter()
        self._bert = bert = _timed(_load(variant), self._times)
        freed_memory.keep()
        self._batch = batch = _batch(bert.config, _lengths(max_batch_tokens))
        self.facts: dict[str, Any] = {
            "precision": variant.precision,
            "kernels": bert.kernels.name,
            "products": _name_of(variant.product),
            "attention": "int8" if bert.layers[0].attention else variant.kernels.name,
            "stream": "bf16" if bert.stream else "fp32",
            "zeros": variant.zeros,
            "tokens": batch.tokens,
            "samples": len(batch),
            "squares": int((batch.lengths**2).sum()),  # sum of the squared lengths of the samples
        }
        self.layer_ms()

    @torch.inference_mode()
    def layer_ms(self) -> dict[str, float]:
        """ms of one layer for the batch, by part."""
        times = self._times
        times.clear()
        start_s, wall_start_s = _now_s(), time.perf_counter()
        self._bert(self._batch)
        whole_s, wall_s = _now_s() - start_s, time.perf_counter() - wall_start_s
        found = {**times, "rest": whole_s - sum(times.values()), "all": whole_s, "all, wall time": wall_s}
        return {part: found[part] / LAYERS * 1e3 for part in (*PRODUCTS, *KERNELS, "rest", "all", "all, wall time")}


def medians(turns: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Of each key."""
    return {name: statistics.median(one[name] for one in turns) for name in turns[0]} if turns else {}


def _print(found: dict[str, Any]) -> None:
    ms, tokens = found["ms"], found["tokens"]
    width = 1024
    operations = {part: 2 * factor * width**2 * tokens for part, factor in zip(PRODUCTS, (3, 1, 4, 4), strict=True)}
    operations["attention"] = 4 * width * found["squares"]
    inside = f"{found['kernels']}, {found['products']}, attention {found['attention']}, stream {found['stream']}, "
    inside += f"{found['zeros']:.0%} zeros"
    table = Table(title=f"{found['precision']}, {tokens} tokens in {found['samples']} samples, {inside}")
    for column in ("part", "ms/layer", "share", "G(FL)OP/s"):
        table.add_column(column, justify="left" if column == "part" else "right")
    for part, spent in ms.items():
        rate = f"{operations[part] / spent / 1e6:.0f}" if part in operations else ""
        table.add_row(part, f"{spent:.2f}", f"{spent / ms['all']:.1%}", rate)
    terminal.console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.breakdown", description="The engine's time by part.")
    parser.add_argument("--precision", choices=("fp32", "bf16", "int8"), default="int8")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--max-batch-tokens", type=int, default=1536)
    parser.add_argument("--repeat", type=int, default=9)
    parser.add_argument("--kernels", choices=("plain", *native.VARIANTS), help="(default: the fastest that run here)")
    parser.add_argument("--products", choices=(*OURS, "onednn"), help="(default: the fastest that run here)")
    parser.add_argument("--attention", choices=ATTENTIONS, default="int8", help="of int8 (default: %(default)s)")
    parser.add_argument("--stream", choices=STREAMS, default="bf16", help="of int8 (default: %(default)s)")
    parser.add_argument("--zeros", type=float, default=0.0, help="share of the weights' blocks of 4 that are zero")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    variant = Variant(
        precision=options.precision,
        kernels=kernels_named(options.kernels),
        product=product_named(options.products, options.precision),
        attention=options.attention,
        stream=options.stream,
        zeros=options.zeros,
    )
    engine = TimedEngine(variant, options.max_batch_tokens)
    found = {**engine.facts, "ms": medians([engine.layer_ms() for _ in range(options.repeat)])}
    _print(found)
    print(json.dumps(found))


if __name__ == "__main__":
    sys.exit(program.run(main))
