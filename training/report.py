"""Shows training runs: the figures and the plot of one, or several side by side with their scaling efficiency.

python -m training.report RUN…
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from foundation import program
from foundation.errors import UserError
from training.records import plot, run_table, training_record


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table of one run, or of several; returns the exit code."""
    options = _parser().parse_args(argv)
    try:
        records = {str(run): training_record.read(run) for run in options.runs}
        if len(records) > 1:
            run_table.compare(records)
            return 0
        folder = training_record.path_of(options.runs[0]).parent
        run_table.show(next(iter(records.values())), folder)
        if options.plot:
            print(*plot.draw(next(iter(records.values())), folder), sep="\n")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training.report", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a run's directory, or its run.json")
    parser.add_argument("--plot", action="store_true", help="draw the plot of one run again, next to its run.json")
    return parser


if __name__ == "__main__":
    sys.exit(program.run(main))
