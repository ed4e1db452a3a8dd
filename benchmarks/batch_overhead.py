"""The overhead of a batch: data for `--max-batch-tokens` and `sut.queries.batching.BATCH_OVERHEAD_TOKENS`.

Batches of one length, from one sample up, are timed in turn on each backend. The table gives tokens/s by batch size,
then the overhead in tokens: the intercept of time over tokens, divided by its slope.

    python -m benchmarks.batch_overhead --model demo
    python -m benchmarks.batch_overhead --model random:bert-base --rounds 3
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from itertools import product

import numpy as np
from rich.table import Table

from backends import backend_class
from backends.base import Backend, Batch, Options
from backends.bert.checkpoints import find_model
from foundation import program, terminal
from sut.fetch import resolve as asset_paths
from sut.machine import facts as machine_facts
from sut.settings.settings import DEMO

BACKENDS = ("onnxruntime", "pytorch")
LENGTH = 166  # SQuAD's median
SAMPLES = (1, 2, 4, 8, 16, 32, 64)
_SETTLE_S = 0.2  # threads of the other engine spin for a while after their last batch


def _load(name: str, model: str) -> Backend:
    backend = backend_class(name)(Options(threads=machine_facts.cores()))
    backend.load(find_model(str(asset_paths.demo_model()) if model == DEMO else model))
    return backend


def measure(model: str, rounds: int) -> dict[str, list[float]]:
    """Median seconds of a batch: backend → values in the order of SAMPLES."""
    engines = {name: _load(name, model) for name in BACKENDS}
    batches = [Batch.blank(samples, LENGTH) for samples in SAMPLES]
    seconds: dict[tuple[str, int], list[float]] = {}
    for _, (name, engine) in product(range(rounds), engines.items()):
        time.sleep(_SETTLE_S)
        for batch in batches:
            engine.infer(batch)
            start_s = time.perf_counter()
            engine.infer(batch)
            seconds.setdefault((name, len(batch)), []).append(time.perf_counter() - start_s)
    return {name: [statistics.median(seconds[name, samples]) for samples in SAMPLES] for name in engines}


def overhead_tokens(seconds: list[float]) -> float:
    """The overhead of a batch in tokens, from the batches of up to eight samples."""
    few = [samples for samples in SAMPLES if samples <= 8]
    slope, intercept = np.polyfit([samples * LENGTH for samples in few], seconds[: len(few)], 1)
    return float(intercept / slope)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.batch_overhead", description=__doc__)
    parser.add_argument("--model", default=DEMO)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    found = measure(options.model, options.rounds)
    table = Table("samples", "tokens", *(f"{name}, tokens/s" for name in found), box=None)
    for row, samples in enumerate(SAMPLES):
        tokens = samples * LENGTH
        table.add_row(str(samples), str(tokens), *(f"{tokens / seconds[row]:,.0f}" for seconds in found.values()))
    table.add_row("overhead", "", *(f"{overhead_tokens(seconds):.0f} tokens" for seconds in found.values()))
    terminal.console().print(table)
    print(json.dumps({"model": options.model, "length": LENGTH, "samples": SAMPLES, "seconds": found}))


if __name__ == "__main__":
    sys.exit(program.run(main))
