"""The time of a GPU by part while batches follow each other: matrix products, attention, everything else, idle.

    python -m benchmarks.gpu_breakdown --precision fp8

Kernels are classified by name, in a trace of the engine with as many batches in flight as in a run. The last line is
JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np

import backends
from backends.base import Backend, Batch, Options
from backends.bert.checkpoints import find_model
from benchmarks import sut_runs
from benchmarks.length_matched import LENGTHS
from foundation import program
from sut.executors.base import JOBS_PER_INSTANCE
from sut.fetch import resolve as asset_paths
from sut.running import engines
from sut.settings.resolve import resolve

PARTS = ("gemm", "attention", "elementwise")
# Parts of the names of kernels; kernels without any of them are elementwise, bound by memory.
_WORDS = {"attention": ("_attention",), "gemm": ("gemm", "nvjet", "cutlass", "xmma", "cublas", "_scaled_mm")}
_BATCHES = 12


def part_of(kernel: str) -> str:
    """The part of a kernel, by its name."""
    return next((part for part, words in _WORDS.items() if any(word in kernel.lower() for word in words)), PARTS[2])


def loaded(model: str, precision: str) -> Backend:
    config = resolve({"backend": "gpu", "model": model, "precision": precision})
    found = find_model(asset_paths.model_spec(config))
    if engines.needs_engine(config):
        found = replace(found, engine=engines.build(config))
    backend = backends.backend_class("gpu")(Options(precision))
    backend.load(found)
    return backend


def batch(tokens: int, vocabulary: int) -> Batch:
    """A batch of samples with SQuAD's lengths, of `tokens` tokens or a few more."""
    draw = np.random.default_rng(1)
    lengths: list[int] = []
    while sum(lengths) < tokens:
        lengths.append(LENGTHS[len(lengths) % len(LENGTHS)])
    return Batch.of([(draw.integers(0, vocabulary, length), np.zeros(length, np.int64)) for length in lengths])


def shares(backend: Backend, one: Batch) -> dict[str, float]:
    """Each part's share of the elapsed time, and the rest as idle."""
    from torch.profiler import ProfilerActivity, profile

    _run_batches(backend, one, JOBS_PER_INSTANCE)
    with profile(activities=[ProfilerActivity.CUDA]) as trace:
        start_s = time.perf_counter()
        _run_batches(backend, one, _BATCHES)
        passed_us = (time.perf_counter() - start_s) * 1e6
    spent: Counter[str] = Counter()
    for event in trace.key_averages():
        if not event.key.startswith("Mem"):  # copies overlap with kernels
            spent[part_of(event.key)] += event.self_device_time_total
    found = {part: spent[part] / passed_us for part in PARTS}
    return found | {"idle": max(0.0, 1 - sum(found.values()))}


def _run_batches(backend: Backend, one: Batch, count: int) -> None:
    """Run `count` batches, with as many in flight as an instance has jobs."""
    in_flight = [backend.begin(one)]
    for _ in range(count - 1):
        in_flight.append(backend.begin(one))
        if len(in_flight) == JOBS_PER_INSTANCE:
            in_flight.pop(0).answers()
    for pending in in_flight:
        pending.answers()


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu_breakdown", description="The time of a GPU by part."
    )
    parser.add_argument("--model", default="random:bert-large")
    parser.add_argument("--precision", choices=("fp16", "bf16", "fp8", "int8"), default="fp16")
    options = parser.parse_args()
    gpu = sut_runs.first_gpu()
    config = find_model(options.model).config
    assert config is not None
    found: dict[str, Any] = shares(
        loaded(options.model, options.precision), batch(gpu.batch_tokens(config), config.vocab_size)
    )
    print(json.dumps(found))


if __name__ == "__main__":
    sys.exit(program.run(main))
