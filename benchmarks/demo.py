"""The figures of the embedded demo: speed of both engines, start-up, features, scoring.

Every run is a separate process, and the engines alternate, so that a machine that slows down affects both. It prints
the median, the lowest and the highest value.

    python -m benchmarks.demo --repeat 5
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from foundation import program, terminal
from foundation.people_numbers import figure
from sut.record import run_record
from sut.record.run_record import RunRecord

BACKENDS = ("onnxruntime", "pytorch")
SCENARIOS = ("Offline", "Server", "SingleStream", "MultiStream")
FULL_DEV = 10_570  # questions in SQuAD v1.1's development set
ROOT = Path(__file__).resolve().parents[1]
VOCAB, USER_CONF = ROOT / "assets" / "demo" / "vocab.txt", ROOT / "user.conf"
Figures = dict[str, list[float]]


def _timed(*command: str | Path) -> tuple[float, str]:
    """(seconds of the whole command, its output); exits if the command fails."""
    start_s = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", *map(str, command)], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return time.perf_counter() - start_s, done.stdout


@dataclass(frozen=True)
class Timed:
    """A run, and what its whole command took."""

    record: RunRecord
    first_query_s: float  # from the start of the command
    wall_s: float


def _sut(folder: Path, *flags: str | Path) -> Timed:
    """One run, on caches of its own."""
    log_dir = Path(tempfile.mkdtemp(dir=folder)) / "run"
    start_unix_s = time.time()
    own = ("--log-dir", log_dir, "--cache-dir", folder / "cache", "--user-conf", USER_CONF)
    wall_s, _ = _timed("sut", *own, *flags)
    record = run_record.read(log_dir)
    assert record.first_query_unix_s
    return Timed(record, record.first_query_unix_s - start_unix_s, wall_s)


def _run(folder: Path, figures: Figures, scenario: str, backend: str) -> None:
    timed = _sut(folder, "--scenario", scenario, "--backend", backend)
    result = timed.record.performance
    assert result and result.value
    latency = "" if result.percentile is None else f" p{result.percentile:g}"
    figures[f"{scenario}, {backend}: {result.metric}{latency}, {result.unit}"].append(result.value)
    if scenario == "Offline":
        figures[f"{backend}: s from command to first query"].append(timed.first_query_s)
        figures[f"{backend}: s for the whole command"].append(timed.wall_s)


def _accuracy(folder: Path, figures: Figures) -> None:
    for name, flags in (
        ("dev", ()),
        ("unseen dev, seed 2", ("--seed", "2")),
        ("displaced questions", ("--displaced",)),
    ):
        dataset = folder / f"{len(figures)}.json"
        _timed("qsl.demo", "dev", dataset, *flags)
        result = _sut(folder, "--mode", "accuracy", "--dataset", dataset, "--vocab", VOCAB).record.accuracy
        assert result
        for metric, percent in result.metrics.items():
            figures[f"demo on {name}: {metric}"].append(percent)


def _features(folder: Path, figures: Figures, repeat: int) -> None:
    """A generated set as large as SQuAD's: the time to make features, to read them from the cache, and to score."""
    dataset = folder / "full.json"
    _timed("qsl.demo", "dev", dataset, "--questions", str(FULL_DEV))
    files = ("--dataset", dataset, "--vocab", VOCAB)
    for number in range(repeat):
        for what in ("made", "cached"):
            _, out = _timed("qsl", "describe", *files, "--cache-dir", folder / f"cache{number}")
            figures[f"s to features of {FULL_DEV} questions, {what}"].append(json.loads(out)["seconds"])
    log_dir = folder / "scored"
    _timed("sut", "--mode", "accuracy", "--backend", "fake", *files, "--log-dir", log_dir)
    for _ in range(repeat):
        wall_s, _ = _timed("accuracy", "--log-file", log_dir / "mlperf_log_accuracy.json", *files)
        figures[f"s to score {FULL_DEV} questions, whole command"].append(wall_s)


def measure(repeat: int) -> Figures:
    """All readings by figure, in the order of measurement."""
    figures: Figures = defaultdict(list)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _accuracy(folder, figures)  # first, because it fills the caches
        for _ in range(repeat):
            for scenario in SCENARIOS:
                for backend in BACKENDS:
                    _run(folder, figures, scenario, backend)
        _features(folder, figures, repeat)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.demo", description=__doc__)
    parser.add_argument("--repeat", type=int, default=5)
    figures = measure(parser.parse_args().repeat)
    table = Table("figure", "median", "lowest", "highest", box=None)
    for name, readings in figures.items():
        table.add_row(name, *(figure(value) for value in (statistics.median(readings), min(readings), max(readings))))
    terminal.console().print(table)
    print(json.dumps({name: [statistics.median(r), min(r), max(r)] for name, r in figures.items()}))


if __name__ == "__main__":
    sys.exit(program.run(main))
