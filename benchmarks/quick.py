"""What each installed engine gives here, in five minutes: every backend and precision on the demo and on BERT-Large.

The demo gives a score, its speed says little about a larger model; so the second half of the table is BERT-Large's
geometry with random weights and samples as long as SQuAD's, whose answers mean nothing. All runs go through LoadGen,
Offline. The fastest engines of the demo run BERT-Large first; the very fastest may build as long as it takes, which is
not counted. No other measurement takes more than a few times its share of the time that is left, and what there is no
figure of is named below the table, with the reason.

    python -m benchmarks.quick                   # five minutes; more the first time, to build an int8 engine
    python -m benchmarks.quick --minutes 15 --markdown
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from rich.console import Console

from benchmarks import length_matched, sut_runs
from benchmarks.cpu_report import Grid, show
from benchmarks.sut_runs import BenchmarkData
from foundation import program
from foundation.foreign_text import printable
from foundation.people_numbers import clock, figure
from qsl import feature_cache
from sut.fetch import resolve as asset_paths
from sut.machine import facts as machine_facts

LARGE = "random:bert-large"
_SAMPLES, _SLOW = 32, 16  # of BERT-Large, all of which is loading: int8, and others
_SHARES = 4  # of the time that is left for each measurement, which one may take: building an engine takes long
_LEAST_S = 10.0
_FASTEST_S = 1800.0  # for BERT-Large's fastest engine, which is built the first time
_NO_TIME = "no time was left. Type a longer --minutes"


@dataclass(frozen=True)
class Row:
    """One engine's figures; a text says why there is none."""

    backend: str
    precision: str
    demo: float | str = _NO_TIME  # samples/s
    f1: float | str = _NO_TIME
    large: float | str = _NO_TIME  # samples/s, random weights

    @property
    def flags(self) -> tuple[str, ...]:
        return ("--backend", self.backend, "--precision", self.precision)


class Clock:
    """The time that is left, for a number of measurements."""

    def __init__(self, minutes: float, measurements: int) -> None:
        self._start_s, self._end_s = time.monotonic(), time.monotonic() + 60 * minutes
        self._measurements = measurements

    def measure(self, what: str, call: Callable[..., float], *, free: bool = False) -> float | str:
        """A figure of `call`, which gets the seconds that it may take as `most_s`; or why there is none.

        The time of a free one is not counted.
        """
        left_s, share = self._end_s - time.monotonic(), _SHARES / max(1, self._measurements)
        self._measurements -= 1
        if left_s < 1:
            return _NO_TIME
        started_s = time.monotonic()
        print(f"{clock(started_s - self._start_s)}  {what}", file=sys.stderr, flush=True)
        try:
            return call(most_s=_FASTEST_S if free else min(left_s, max(_LEAST_S, share * left_s)))
        except RuntimeError as error:
            return str(error)
        finally:
            self._end_s += time.monotonic() - started_s if free else 0


def measured(minutes: float, cache_dir: Path) -> list[Row]:
    """The rows, the fastest on the demo first."""
    rows = [Row(*pair) for pair in sut_runs.installed()]
    left = Clock(minutes, measurements=3 * len(rows))
    model = asset_paths.demo_model()
    dataset, vocab = asset_paths.demo_dataset(cache_dir), model / "vocab.txt"
    demo = BenchmarkData(str(model), dataset, vocab, cache_dir, 0)
    calibrated = ("--calibration-dataset", str(asset_paths.demo_dataset(cache_dir, "train")))
    found = []
    for row in rows:
        speed = left.measure(f"{row.backend} {row.precision}, demo", partial(_speed, demo, *row.flags, *calibrated))
        f1 = left.measure("  its F1", partial(_f1, demo, *row.flags, *calibrated))
        found.append(replace(row, demo=speed, f1=f1))
    found.sort(key=lambda row: -row.demo if isinstance(row.demo, float) else 0.0)
    return [replace(row, large=_large(row, left, cache_dir, is_fastest=row is found[0])) for row in found]


def _speed(data: BenchmarkData, *flags: str, most_s: float) -> float:
    return sut_runs.value(sut_runs.run(data, "Offline", 24, "--min-duration-s", "2", *flags, most_s=most_s))


def _f1(data: BenchmarkData, *flags: str, most_s: float) -> float:
    accuracy = sut_runs.scored(data, *flags, most_s=most_s).accuracy
    if accuracy is None:
        raise RuntimeError("no score")
    return accuracy.of_answered


def _large(row: Row, left: Clock, cache_dir: Path, *, is_fastest: bool) -> float | str:
    what = f"{row.backend} {row.precision}, {LARGE}"
    return left.measure(what, partial(_large_speed, row, cache_dir), free=is_fastest)


def _large_speed(row: Row, cache_dir: Path, most_s: float) -> float:
    samples = _SAMPLES if row.precision.startswith("int8") else _SLOW
    path, vocab = cache_dir / f"squad-lengths-{samples}.json", asset_paths.demo_model() / "vocab.txt"
    length_matched.write(path, vocab, length_matched.squad_lengths(samples))
    data = BenchmarkData(LARGE, path, vocab, cache_dir, samples)
    return sut_runs.value(sut_runs.run(data, "Offline", samples, *row.flags, most_s=most_s))


def grid(rows: list[Row]) -> Grid:
    """The table."""
    machine = machine_facts.facts()
    columns = ("backend", "precision", "demo, samples/s", "demo, F1", "BERT-Large, samples/s (random weights)")
    cells: list[tuple[str, ...]] = [
        (row.backend, row.precision, _text(row.demo), _text(row.f1, "{:.2f}"), _text(row.large)) for row in rows
    ]
    return Grid(f"{machine.cores} cores of {machine.processor}; Offline through LoadGen, one run each", columns, cells)


def _text(value: float | str, form: str = "") -> str:
    if isinstance(value, str):
        return "–"
    return form.format(value) if form else figure(value)


def skipped(rows: list[Row]) -> list[str]:
    """Which figures there are not, and why, as lines."""
    named = [(row, {"the demo": row.demo, "the demo's F1": row.f1, "BERT-Large": row.large}) for row in rows]
    return [
        f"{row.backend} {row.precision}, {what}: {why}"
        for row, figures in named
        for what, why in figures.items()
        if isinstance(why, str)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quick", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=5.0, help="the time of all runs (default: 5)")
    parser.add_argument("--markdown", action="store_true", help="print the table of docs/guide/tuning.md")
    parser.add_argument("--cache-dir", type=Path, default=feature_cache.DEFAULT_CACHE_DIR)
    options = parser.parse_args()
    cache_dir = options.cache_dir.expanduser()
    cache_dir.mkdir(parents=True, exist_ok=True)
    rows = measured(options.minutes, cache_dir)
    show(grid(rows), Console() if sys.stdout.isatty() else Console(width=160), markdown=options.markdown)
    for line in skipped(rows):
        print(printable(line))
    print("random weights: BERT-Large is for speed only, its answers mean nothing. For the best settings: sut tune")
    print(json.dumps({"machine": asdict(machine_facts.facts()), "rows": [asdict(row) for row in rows]}))


if __name__ == "__main__":
    sys.exit(program.run(main))
