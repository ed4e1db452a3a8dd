"""The figures of the embedded demo: speed of both engines, start-up, features, scoring.

Every run is a process of its own, and the engines alternate, so that a machine that slows down slows both. What is
printed is the median and, in brackets, the lowest and the highest.

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
from pathlib import Path

from rich.console import Console
from rich.table import Table

BACKENDS = ("onnxruntime", "pytorch")
SCENARIOS = ("Offline", "Server", "SingleStream", "MultiStream")
FULL_DEV = 10_570  # questions in SQuAD v1.1's development set
Figures = dict[str, list[float]]


def _timed(*command: str | Path) -> tuple[float, str]:
    start_s = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", *map(str, command)], capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        sys.exit(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stderr}")
    return time.perf_counter() - start_s, done.stdout


def _run(folder: Path, figures: Figures, scenario: str, backend: str) -> None:
    log_dir = Path(tempfile.mkdtemp(dir=folder)) / "run"
    wall_s, _ = _timed("sut", "--scenario", scenario, "--backend", backend, "--log-dir", log_dir)
    record = json.loads((log_dir / "run.json").read_text(encoding="utf-8"))
    result = record["result"]
    figures[f"{scenario} {backend}, {result['metric']}"].append(result["value"])
    if scenario == "Offline":
        figures[f"{backend}, s from command to first query"].append(record["startup_s"])
        figures[f"{backend}, s for the whole command"].append(wall_s)


def _accuracy(folder: Path, figures: Figures) -> None:
    log_dir = Path(tempfile.mkdtemp(dir=folder)) / "run"
    _timed("sut", "--mode", "accuracy", "--log-dir", log_dir)
    result = json.loads((log_dir / "run.json").read_text(encoding="utf-8"))["result"]
    figures["demo exact_match"].append(result["exact_match"])
    figures["demo f1"].append(result["f1"])


def _features(folder: Path, figures: Figures, repeat: int) -> None:
    """A generated development set as large as SQuAD's: features made, read again, and scored."""
    dataset, vocab = folder / "dev.json", Path(__file__).parents[1] / "assets" / "demo" / "vocab.txt"
    _timed("qsl.demo", "dev", dataset, "--questions", str(FULL_DEV))
    files = ("--dataset", dataset, "--vocab", vocab)
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
    """Every figure's readings, in the order measured."""
    figures: Figures = defaultdict(list)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for _ in range(repeat):
            for scenario in SCENARIOS:
                for backend in BACKENDS:
                    _run(folder, figures, scenario, backend)
        _accuracy(folder, figures)
        _features(folder, figures, repeat)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.demo", description=__doc__)
    parser.add_argument("--repeat", type=int, default=5)
    figures = measure(parser.parse_args().repeat)
    table = Table("figure", "median", "lowest", "highest", box=None)
    for name, readings in figures.items():
        table.add_row(name, *(f"{value:.4g}" for value in (statistics.median(readings), min(readings), max(readings))))
    Console().print(table)
    print(json.dumps({name: [statistics.median(r), min(r), max(r)] for name, r in figures.items()}))


if __name__ == "__main__":
    main()
