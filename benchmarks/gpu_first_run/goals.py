"""The goals for this card, from what the steps before it left.

python -m benchmarks.gpu_first_run.goals --work DIR
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks import gpu_report
from benchmarks.gpu_first_run import loadgen
from benchmarks.gpu_first_run import rig as rigs
from benchmarks.gpu_first_run.rig import PRECISIONS
from benchmarks.interleave import Results, ratio, spread
from foundation import program
from foundation.people_numbers import figure

PEER = "peer pytorch-gpu"


def main(argv: Sequence[str] | None = None) -> int:
    options = rigs.options(__doc__, argv)
    gpu = "none, a dry run" if options.dry_run else torch.cuda.get_device_name(0)
    rigs.show(f"goals on one {gpu_report.card_of(gpu)}", _rows(results(options.work), gpu))
    return 0


def results(work: Path) -> Results:
    """One reading of each contestant that has one."""
    files = {f"sut {precision}": loadgen.results_of(work, precision) for precision in PRECISIONS}
    files[PEER] = work / f"{PEER.replace(' ', '-')}.out"
    return Results({key: [found] for key, path in files.items() if (found := loadgen.read_results(path))})


def _rows(found: Results, gpu: str) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("figure", "measured", "floor", "aim", "reached")]
    for goal, above, below in gpu_report.goals(gpu):
        one = spread(found, *above[:2]) if below == gpu_report.ONE else ratio(found, above, below)
        measured = (figure(one.median), goal.verdict(one.median)) if one else ("-", "not measured")
        rows.append((goal.name, measured[0], f"{goal.floor:g}", f"{goal.aim:g}", measured[1]))
    return rows


if __name__ == "__main__":
    sys.exit(program.run(main))
