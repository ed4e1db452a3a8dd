"""Where a GPU's time goes while batches follow each other: products, attention, everything else, and idle.

    python -m benchmarks.gpu_breakdown --precision fp8

Kernels are told apart by their names, in a trace of the engine at work with as many batches under way as in a run. The
last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np

import backends
from backends.base import Backend, Batch, Options
from backends.bert.checkpoints import find_model
from benchmarks import sut_runs
from benchmarks.breakdown import LENGTHS
from sut.executors.base import JOBS_PER_INSTANCE
from sut.fetch import resolve as asset_paths
from sut.run import engines
from sut.settings.resolve import resolve

PARTS = ("gemm", "attention", "elementwise")
# Words in the names of kernels; whatever has none of them passes over memory and does little else.
_WORDS = {"attention": ("_attention",), "gemm": ("gemm", "nvjet", "cutlass", "xmma", "cublas", "_scaled_mm")}
_BATCHES = 12


def part_of(kernel: str) -> str:
    """The part that a kernel belongs to, by its name."""
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
    """Samples whose lengths are SQuAD's, `tokens` of them in all or a few more."""
    draw = np.random.default_rng(1)
    lengths: list[int] = []
    while sum(lengths) < tokens:
        lengths.append(LENGTHS[len(lengths) % len(LENGTHS)])
    return Batch.of([(draw.integers(0, vocabulary, length), np.zeros(length, np.int64)) for length in lengths])


def shares(backend: Backend, one: Batch) -> dict[str, float]:
    """Each part's share of the time that passes, and what is left: idle."""
    from torch.profiler import ProfilerActivity, profile

    _follow(backend, one, JOBS_PER_INSTANCE)
    with profile(activities=[ProfilerActivity.CUDA]) as trace:
        start_s = time.perf_counter()
        _follow(backend, one, _BATCHES)
        passed_us = (time.perf_counter() - start_s) * 1e6
    spent: Counter[str] = Counter()
    for event in trace.key_averages():
        if not event.key.startswith("Mem"):  # copies run beside
            spent[part_of(event.key)] += event.self_device_time_total
    found = {part: spent[part] / passed_us for part in PARTS}
    return found | {"idle": max(0.0, 1 - sum(found.values()))}


def _follow(backend: Backend, one: Batch, count: int) -> None:
    """So many batches, as many under way as an instance has jobs."""
    under_way = [backend.begin(one)]
    for _ in range(count - 1):
        under_way.append(backend.begin(one))
        if len(under_way) == JOBS_PER_INSTANCE:
            under_way.pop(0).answers()
    for pending in under_way:
        pending.answers()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_breakdown", description="Where a GPU's time goes.")
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
    main()
