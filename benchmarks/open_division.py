"""The open division's models on this machine: how many times as fast as dense BERT-Large, next to their published F1.

Each rung of `sut.commands.compare.published` in int8, with random weights of its sizes, through LoadGen: Offline, with
samples as long as SQuAD's, and SingleStream. They take turns (benchmarks/interleave.py). Goals are for machines without
AMX, where dense products gain least; the last line is JSON.

    python -m benchmarks.open_division                 # far longer the first time: it builds seven int8 engines
    python -m benchmarks.without_amx python -m benchmarks.open_division --markdown
    python -m benchmarks.open_division --only minilm-l12 mobilebert --rounds 3
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console

from benchmarks import length_matched, sut_runs
from benchmarks.cpu_report import Grid, show
from benchmarks.interleave import Contestant, Goal, Reading, Results, run_turns
from benchmarks.sut_runs import BenchmarkData
from foundation import program
from foundation.typed_json import encode
from qsl import feature_cache
from sut.commands.compare import ladder
from sut.commands.compare.ladder import LadderRow
from sut.commands.compare.published import RUNGS, Rung
from sut.fetch import resolve as asset_paths
from sut.machine import facts as machine_facts

BASE = "bert-large"
GOALS = {
    one.name: one
    for one in (
        Goal("bert-large@80", 2.4, 2.9),
        Goal("bert-large@90", 3.4, 4.2),
        Goal("bert-large@95", 4.2, 5.6),
        Goal("minilm-l12", 10, 12),
        Goal("mobilebert", 9, 11),
        Goal("mobilebert-14@50", 15, 20),
    )
}
_SAMPLES = 48  # of dense BERT-Large's turn; the others get more by their goal, so that turns are about as long
_STREAM_QUERIES = 64  # the fewest of a valid run
_ENGINE = ("--backend", "pytorch", "--precision", "int8")


@dataclass
class RungTurns:
    """One rung's turns: its rows, a row a turn."""

    rung: Rung
    data: BenchmarkData
    rows: list[LadderRow] = field(default_factory=list)

    def __call__(self) -> Reading:
        offline = sut_runs.run(self.data, "Offline", self.data.samples, *_ENGINE)
        stream = sut_runs.run(self.data, "SingleStream", _STREAM_QUERIES, *_ENGINE)
        self.rows.append(ladder.row(self.rung, stream, offline))
        return {"samples_per_s": self.rows[-1].samples_per_s}

    @property
    def median(self) -> LadderRow:
        """The row of the medians over all turns."""
        return replace(
            self.rows[-1],
            samples_per_s=statistics.median(one.samples_per_s for one in self.rows),
            latency_ms=statistics.median(one.latency_ms for one in self.rows),
        )


def turns(only: Sequence[str], samples: int, cache_dir: Path) -> list[RungTurns]:
    """The rungs' turns, dense BERT-Large first; all if `only` is empty."""
    names = [name for name in RUNGS if name == BASE or not only or name in only]
    vocab = asset_paths.demo_model() / "vocab.txt"
    found = []
    for name in names:
        count = max(10, round(samples * (GOALS[name].floor if name in GOALS else 1)))
        path = cache_dir / f"squad-lengths-{count}.json"
        length_matched.write(path, vocab, length_matched.squad_lengths(count))
        found.append(RungTurns(RUNGS[name], BenchmarkData(RUNGS[name].model, path, vocab, cache_dir, count)))
    return found


def grid(rows: Sequence[LadderRow]) -> Grid:
    """The table; the first row is what the others are related to."""
    machine = machine_facts.facts()
    columns = (*ladder.COLUMNS, "floor / aim")
    cells = [(*ladder.cells(one, rows[0]), _goal(one, rows[0])) for one in rows]
    return Grid(f"{machine.cores} cores of {machine.processor}; {rows[0].what}, SQuAD's lengths", columns, cells)


def _goal(row: LadderRow, base: LadderRow) -> str:
    goal = GOALS.get(row.rung.name)
    if goal is None:
        return ""
    return f"{goal.floor:g} / {goal.aim:g}: {goal.verdict(row.samples_per_s / base.samples_per_s)}"


def _measured(everyone: Sequence[RungTurns], rounds: int) -> Results:
    chosen = [Contestant(one.rung.name, one.rung.title, "int8", one) for one in everyone]

    def on_reading(number: int, one: Contestant, reading: Reading | str) -> None:
        text = reading if isinstance(reading, str) else f"{reading['samples_per_s']:.1f} samples/s"
        print(f"round {number + 1}  {one.key}: {text}", file=sys.stderr, flush=True)

    return run_turns(chosen, rounds, on_reading)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.open_division",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", nargs="+", default=(), choices=GOALS, help="these rungs, and dense BERT-Large")
    parser.add_argument("--rounds", type=int, default=1, help="turns of each; figures are medians (default: 1)")
    parser.add_argument("--samples", type=int, default=_SAMPLES, help="of dense BERT-Large's turn; others are scaled")
    parser.add_argument("--markdown", action="store_true", help="print the table of docs/results")
    parser.add_argument("--cache-dir", type=Path, default=feature_cache.DEFAULT_CACHE_DIR)
    options = parser.parse_args()
    cache_dir = options.cache_dir.expanduser()
    cache_dir.mkdir(parents=True, exist_ok=True)
    everyone = turns(options.only, options.samples, cache_dir)
    results = _measured(everyone, options.rounds)
    rows = [one.median for one in everyone if one.rows]
    if rows:
        show(grid(rows), Console() if sys.stdout.isatty() else Console(width=180), markdown=options.markdown)
        for line in (ladder.NOTES, *ladder.notes(rows)):
            print(line)
    for name, why in results.missing.items():
        print(f"{name}: {why}")
    print(json.dumps({"rows": [encode(one) for one in rows], "missing": results.missing}))


if __name__ == "__main__":
    sys.exit(program.run(main))
