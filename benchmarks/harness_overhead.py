"""The overhead without a model: the fake backend, `--help`, and the time from a command to its first query.

Each reading is a separate command; the figures take turns, so that a machine that slows down affects all. Offline uses
large batches (`--max-batch-tokens 16384`, some 90 samples), as an engine that fast would.

    python -m benchmarks.harness_overhead --repeat 5
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.table import Table

from benchmarks import sut_runs
from foundation import people_numbers, program, terminal
from sut.record import run_record
from sut.record.run_record import RunRecord

ROOT = Path(__file__).resolve().parents[1]
_OFFLINE = ("--test-query-count", "1000000", "--max-batch-tokens", "16384")
_SERVER = ("--scenario", "Server", "--target-qps", "5000", "--test-query-count", "25000")
Reading = Callable[[Path], float]


@dataclass(frozen=True)
class Figure:
    """A row of the table: a figure's readings and its goal."""

    name: str
    unit: str
    wanted: float  # the goal; the JSON line has this name
    more_is_better: bool
    readings: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.readings)

    @property
    def is_met(self) -> bool:
        return self.median >= self.wanted if self.more_is_better else self.median < self.wanted


def _command(*args: str, may_be_invalid: bool = False) -> float:
    """Seconds of `python -m sut` with these flags."""
    start_s = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "sut", *args], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode > may_be_invalid:
        sys.exit(f"sut {' '.join(args)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return time.perf_counter() - start_s


def _run(folder: Path, *flags: str) -> RunRecord:
    log_dir = Path(tempfile.mkdtemp(dir=folder)) / "run"
    _command(*flags, "--log-dir", str(log_dir), "--cache-dir", str(folder / "cache"), may_be_invalid=True)
    return run_record.read(log_dir)


def _offline(instances: int) -> Reading:
    flags = ("--backend", "fake", "--instances", str(instances), *_OFFLINE)
    return lambda folder: sut_runs.value(_run(folder, *flags))


def _server_p99(folder: Path) -> float:
    """The p99 latency in ms; infinite if the run is invalid."""
    found = _run(folder, "--backend", "fake", *_SERVER)
    return found.performance.latency_ms["99.00"] if found.performance and found.verdict == "VALID" else float("inf")


def _first_query(folder: Path) -> float:
    start_unix_s = time.time()
    return (_run(folder, "--test-query-count", "24").first_query_unix_s or float("inf")) - start_unix_s


_FIGURES: tuple[tuple[str, str, float, bool, Reading], ...] = (
    ("fake, Offline, 1 instance", "samples/s", 200_000, True, _offline(1)),
    ("fake, Offline, 2 instances", "samples/s", 200_000, True, _offline(2)),
    ("fake, Server at 5,000 queries/s, p99", "ms", 10, False, _server_p99),
    ("--help", "s", 0.3, False, lambda folder: _command("--help")),
    ("demo, from the command to the first query", "s", 3, False, _first_query),
)


def measure(repeat: int) -> list[Figure]:
    """All figures with their readings, after one run that fills the caches."""
    figures = [Figure(name, unit, goal, more, []) for name, unit, goal, more, _ in _FIGURES]
    with tempfile.TemporaryDirectory() as name:
        _first_query(Path(name))
        for _ in range(repeat):
            for figure, (*_, reading) in zip(figures, _FIGURES, strict=True):
                figure.readings.append(reading(Path(name)))
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.harness_overhead", description=__doc__)
    parser.add_argument("--repeat", type=int, default=5)
    figures = measure(parser.parse_args().repeat)
    table = Table("figure", "median", "lowest", "highest", "goal", "", box=None)
    for one in figures:
        values = map(people_numbers.figure, (one.median, min(one.readings), max(one.readings)))
        goal = f"{'at least' if one.more_is_better else 'under'} {one.wanted:,g} {one.unit}"
        table.add_row(one.name, *values, goal, "met" if one.is_met else "MISSED")
    terminal.console().print(table)
    print(json.dumps([asdict(one) | {"median": one.median, "is_met": one.is_met} for one in figures]))


if __name__ == "__main__":
    sys.exit(program.run(main))
