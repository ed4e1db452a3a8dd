"""What recording a run's timeline takes on the clock: its share of the time of the thread that records.

A share below one per cent cannot be seen in two runs, one with and one without. So the CPU time of recording one batch
is measured by itself, by the size of the batch, and multiplied by the batches and samples of real runs of the demo.
In `inline` that thread computes too, so the share is lost; in `processes` it is the main process's.

    python -m benchmarks.timeline_overhead
    python -m benchmarks.timeline_overhead --backend onnxruntime --precision fp32
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from dataclasses import asdict, dataclass

import numpy as np
from rich.table import Table

from benchmarks import sut_runs
from benchmarks.sut_runs import BenchmarkData
from foundation import program, terminal
from foundation.people_numbers import figure
from qsl import feature_cache
from sut.fetch import resolve as asset_paths
from sut.queries import timeline
from sut.queries.batch_times import BatchTimes
from sut.record.run_record import RunRecord

_BATCHES, _ROUNDS = 5_000, 9
_SIZES = (1, 64)
_SERVER_SHARE = 0.7  # of Offline's samples/s
_QUERIES = 4_000


@dataclass(frozen=True)
class Cost:
    """Recording a batch takes about `batch_s + samples * sample_s` seconds of a thread's CPU time."""

    batch_s: float
    sample_s: float

    def of(self, record: RunRecord) -> float:
        """Its share of the timed window of a run."""
        assert record.batches is not None
        spent_s = record.batches.batches * self.batch_s + record.batches.samples * self.sample_s
        return spent_s / record.batches.window_s


def measure() -> Cost:
    """The cost by what batches of two sizes take."""
    few, many = (statistics.median(_seconds(samples) for _ in range(_ROUNDS)) for samples in _SIZES)
    sample_s = max(0.0, (many - few) / (_SIZES[1] - _SIZES[0]))
    return Cost(few - sample_s, sample_s)


def _seconds(samples: int) -> float:
    """CPU time of a batch: what the scheduler does for the record alone, with Server's list of arrivals."""
    times, lengths, arrivals = BatchTimes(), np.full(samples, 180), [1.0] * samples
    tokens = int(lengths.sum())
    start_s = time.thread_time()
    for _ in range(_BATCHES):
        issued_s = np.array(arrivals, np.float64)
        int(lengths @ lengths)
        times.add(
            0, samples, 0.01, 0.009, tokens=tokens, computed_tokens=tokens, answered_s=2.0, issued_s=issued_s
        )  # fmt: skip
    return (time.thread_time() - start_s) / _BATCHES


def after_test_s(batches: int, samples: int) -> float:
    """CPU time of computing the timeline, which is after the test."""
    times = BatchTimes()
    for number in range(batches):
        answered_s = 0.001 * (number + 1)
        times.add(number % 2, samples, 0.001, 0.001, answered_s=answered_s, issued_s=np.full(samples, answered_s))
    start_s = time.thread_time()
    timeline.of(times.columns(), 2, 0.0, 0.001 * batches)
    return time.thread_time() - start_s


def runs(flags: tuple[str, ...]) -> dict[str, RunRecord]:
    """Runs of the demo: Offline, and Server at a rate near what the machine can do, inline and in processes."""
    cache_dir, model = feature_cache.DEFAULT_CACHE_DIR.expanduser(), asset_paths.demo_model()
    data = BenchmarkData(str(model), asset_paths.demo_dataset(cache_dir), model / "vocab.txt", cache_dir, 0)
    calibrated = ("--calibration-dataset", str(asset_paths.demo_dataset(cache_dir, "train")))
    found = {}
    for executor in ("inline", "processes"):
        given = ("--executor", executor, *flags, *calibrated)
        offline = found[f"Offline, {executor}"] = sut_runs.run(data, "Offline", _QUERIES, *given)
        rate = str(round(_SERVER_SHARE * sut_runs.value(offline), 1))
        found[f"Server, {executor}"] = sut_runs.run(data, "Server", _QUERIES, "--target-qps", rate, *given)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.timeline_overhead", description=__doc__.split("\n")[0])
    parser.add_argument("--backend", default="pytorch")
    parser.add_argument("--precision", default="int8")
    options = parser.parse_args()
    cost = measure()
    found = runs(("--backend", options.backend, "--precision", options.precision))
    table = Table("demo", "samples/s", "batches/s", "recording", box=None)
    for name, record in found.items():
        work = record.batches
        assert work is not None
        rates = work.samples_per_s, work.batches / work.window_s
        table.add_row(name, *map(figure, rates), f"{cost.of(record):.3%}")
    console = terminal.console()
    console.print(table)
    console.print(f"a batch: {1e6 * cost.batch_s:.2f} µs, and {1e9 * cost.sample_s:.0f} ns for each of its samples")
    console.print(f"after the test: {1e3 * after_test_s(10_000, 8):.1f} ms for 10,000 batches of 8")
    shares = {name: cost.of(record) for name, record in found.items()}
    print(json.dumps({"cost": asdict(cost), "shares": shares}))


if __name__ == "__main__":
    sys.exit(program.run(main))
