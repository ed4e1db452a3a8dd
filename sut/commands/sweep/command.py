"""`python -m sut sweep`: runs a grid of settings, each run in its own process; prints and plots the medians.

After an interruption every finished run is kept, and the same command with --resume continues.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from foundation import atomic_write, installation
from foundation.people_numbers import count
from foundation.typed_json import encode
from sut.commands.sweep import grid, rows, runs, summary
from sut.commands.sweep.grid import Axis, Point
from sut.commands.sweep.rows import SweepRow
from sut.errors import FAILED, INVALID, VALID, UsageError
from sut.machine import limits
from sut.processes import directory_lock, run_process
from sut.settings import flags
from sut.settings.parser import Parser, new_parser
from sut.settings.resolve import to_flags

_MORE = """Each run is a separate process.

python -m sut sweep --set "batch_size=1 2 4 8" --set "instances=1|2" --repeat 3
python -m sut sweep --set "BATCH_SIZE=1 2 4 ...64" --backend pytorch --model random:bert-base --output-dir out

NAME is any flag of a run, without its dashes; the other flags apply to every run. Values are separated by blanks
or |. "1 2 4 ...64" is a geometric range (three numbers or more of one ratio), "2 4 ...16" an arithmetic one.
Several --set give all combinations.

Exit code: 0 all valid, 1 some invalid, 2 usage, 3 some failed or interrupted.
"""


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """The arguments of a sweep."""

    axes: list[Axis]
    points: list[Point]
    runs: list[runs.Run]
    folder: Path
    resume: bool
    dry_run: bool


def main(argv: list[str]) -> int:
    """Run the sweep; returns the exit code.

    Raises:
        UsageError: a setting, a value or a directory cannot be used; no run was started.
        RunFailedError: a row could not be written.
    """
    sweep = _read(argv)
    if sweep.dry_run:
        print("\n".join(shlex.join(["python", "-m", "sut", *run.flags(sweep.folder)]) for run in sweep.runs))
        print(f"{count(len(sweep.runs), 'run')}; a trial takes about 10 s after loading", file=sys.stderr)
        return VALID
    for run in {run.point.config.backend: run for run in sweep.runs}.values():
        run_process.check(to_flags(run.point.config))
    with directory_lock.held(sweep.folder, "sweep") as held:
        _carry_out(sweep, held)
        return _report(sweep)


def _read(argv: list[str]) -> Sweep:
    options = parser().read(argv)
    values, toml = flags.split(options, "sweep", {"log_dir": "Logs go below --output-dir."})
    if options.repeat < 1:
        raise UsageError(f"expected --repeat of at least 1, found {options.repeat}.")
    axes = [grid.axis(text) for text in options.set]
    points = grid.points(axes, values, toml, options.repeat)
    folder = options.output_dir or Path("runs") / f"{datetime.now(UTC):%Y%m%dT%H%M%S}-sweep"
    if options.resume and not options.output_dir:
        raise UsageError(
            "expected --output-dir DIR with --resume, found none. Type the directory of the sweep to continue."
        )
    return Sweep(
        axes=axes,
        points=points,
        runs=runs.order(points, options.repeat),
        folder=folder,
        resume=options.resume,
        dry_run=options.dry_run,
    )


def parser() -> Parser:
    """The command line of `sweep`."""
    found = new_parser("sweep", _MORE)
    add = found.add_argument
    add("--set", action="append", required=True, metavar="NAME=VALUES", help="a setting and its values")
    add("--repeat", type=int, default=1, metavar="N", help="run the whole grid N times (default: 1)")
    add("--output-dir", type=Path, metavar="DIR", help="rows, summaries, sweep.png and runs/ (default: a "
        "new directory below runs/)")  # fmt: skip
    add("--resume", action="store_true", help="continue the sweep in DIR; values and repeats may be added")
    add("--dry-run", action="store_true", help="only print the command of each run")
    flags.add(found, "sweep")
    return found


def _carry_out(sweep: Sweep, held: int) -> None:
    path = sweep.folder / rows.NAME
    if path.exists() and not sweep.resume:
        raise UsageError(f"found a sweep in {sweep.folder}. Type --resume to continue it, or another --output-dir.")
    left = runs.remaining(sweep.runs, rows.read(path), path)
    path.touch()
    try:
        runs.carry_out(left, len(sweep.runs), sweep.folder, held)
    except KeyboardInterrupt:
        print(
            f"\nEvery finished run is kept in {path}. To continue, type the same command with --resume "
            f"--output-dir {shlex.quote(str(sweep.folder))}.",
            file=sys.stderr,
        )
        raise


def _report(sweep: Sweep) -> int:
    """Write summary and plot, print the table."""
    from sut.commands.sweep import best, files, table

    finished = rows.read(sweep.folder / rows.NAME)
    found = summary.summaries(sweep.points, finished)
    lines = [json.dumps(encode(one)) + "\n" for one in found]
    winner = best.best(found, sweep.points[0].config.mode)
    table.show(found, sweep.axes, finished, winner)
    heading, below = table.heading(sweep.points[0].config, sweep.axes), table.notices(found)
    if winner:
        below = [best.line(winner, found, finished), *below]
    below += [f"warning, {text}" for text in table.warnings(finished)]
    texts = {
        summary.NAME: "".join(lines),
        files.CSV: files.as_csv(found, sweep.axes, winner),
        files.MARKDOWN: files.as_markdown(heading, table.columns(found, sweep.axes, winner), below),
    }
    with limits.named(f"write the summary of a sweep in {sweep.folder}"):
        for name, text in texts.items():
            atomic_write.write_text(sweep.folder / name, text)
        _draw(sweep, found)
    print(f"rows, summary and logs: {sweep.folder}")
    return _exit_code(finished)


def _draw(sweep: Sweep, found: Sequence[summary.PointSummary]) -> None:
    from sut.commands.sweep import plot, table

    if not plot.panels(found):
        print("no plot: no run has a figure.")
        return
    path = sweep.folder / plot.NAME
    try:
        plot.draw(found, sweep.axes, table.heading(sweep.points[0].config, sweep.axes), path)
        print(f"plot: {path}")
    except ImportError as error:
        todo = f"{installation.command('plot')}, then this command with --resume"
        print(f"no plot: {error.name} is not installed. Type: {todo}.")


def _exit_code(finished: Sequence[SweepRow]) -> int:
    if any(row.error for row in finished):
        return FAILED
    return max((row.exit_code for row in finished), default=VALID) and INVALID
