"""The runs of a sweep: the whole grid is run once, then again, so that a slower machine affects all points alike.

A run is identified by its given settings and the number of the repeat, not by its position in the grid: so a sweep that
continues may have more values and more repeats than before.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path

from foundation import people_numbers
from foundation.foreign_text import printable
from foundation.people_numbers import clock
from foundation.step_times import StepTimes
from sut.commands.sweep import rows
from sut.commands.sweep.grid import Point, Value
from sut.commands.sweep.rows import SweepRow
from sut.errors import UsageError
from sut.fetch import resolve as asset_paths
from sut.machine import limits
from sut.processes import run_process
from sut.settings.resolve import beyond_defaults, given, to_flags


@dataclass(frozen=True)
class Run:
    """One run of a point; `repeat` counts from 1."""

    point: Point
    repeat: int

    @property
    def key(self) -> str:
        return _key(self.point.settings, given(self.point.config), self.repeat)

    def flags(self, folder: Path) -> list[str]:
        """The flags of `python -m sut`; logs go below `folder`."""
        return ["run", *to_flags(replace(self.point.config, log_dir=self.log_dir(folder)))]

    def log_dir(self, folder: Path) -> Path:
        readable = re.sub(r"[^\w.=-]+", "_", str(self.point))[:80]
        same = hashlib.sha256(self.key.encode()).hexdigest()[:6]
        return folder / "runs" / f"{readable}-run{self.repeat}-{same}"


def order(points: Sequence[Point], repeat: int) -> list[Run]:
    """All points, then all points again, so that a drift over time affects all of them."""
    return [Run(point, number) for number in range(1, repeat + 1) for point in points]


def remaining(runs: Sequence[Run], finished: Iterable[SweepRow], path: Path) -> list[Run]:
    """The runs that are not finished.

    Raises:
        UsageError: a finished run is not among `runs`, so this is another sweep.
    """
    ours = {run.key for run in runs}
    done = {_key(row.point, row.given, row.repeat): row for row in finished}
    for key, row in done.items():
        if key not in ours:
            raise UsageError(
                f"expected the sweep of {path}, perhaps with more values or repeats but no other settings, found a run "
                f"there that does not belong to it: {row.point}, repeat {row.repeat}, with {row.given}. Type the flags "
                "of that sweep, or another --output-dir."
            )
    return [run for run in runs if run.key not in done]


def _key(settings: Mapping[str, Value], given_values: Mapping[str, Value | None], repeat: int) -> str:
    return json.dumps([settings, beyond_defaults(given_values), repeat], sort_keys=True)


def carry_out(runs: Sequence[Run], total: int, folder: Path, lock: int) -> None:
    """Make each run and append its row; `total` includes runs that were finished before."""
    start_s = time.monotonic()
    for done, run in enumerate(runs, start=1):
        print(f"[{total - len(runs) + done}/{total}] {run.point}, repeat {run.repeat}", file=sys.stderr)
        times, step = StepTimes(asset_paths.cache_dir(run.point.config)), ("run", *to_flags(run.point.config))
        with times.doing("    running", *step, sums_up=False):
            row = _run_once(run, folder, lock)
        rows.append(folder / rows.NAME, row)
        left_s = (time.monotonic() - start_s) / done * (len(runs) - done)
        print(f"    {_line(row)}{f', about {clock(left_s)} left' if left_s else ''}", file=sys.stderr, flush=True)


def _run_once(run: Run, folder: Path, lock: int) -> SweepRow:
    log_dir = run.log_dir(folder)
    shutil.rmtree(log_dir, ignore_errors=True)  # of a run that was interrupted
    started, start_s = datetime.now(UTC), time.monotonic()
    with limits.named(f"start a run with its logs in {log_dir}"):
        log_dir.mkdir(parents=True)
        code = run_process.run(run.flags(folder), lock, log_dir / rows.CONSOLE)
    wall_s = round(time.monotonic() - start_s, 3)
    found = rows.outcome(log_dir, code)
    return SweepRow(
        point=run.point.settings,
        repeat=run.repeat,
        started=started.isoformat(timespec="milliseconds"),
        wall_s=wall_s,
        trial=run.point.config.is_trial,
        given=given(run.point.config),
        log_dir=str(log_dir.relative_to(folder)),
        **{field.name: getattr(found, field.name) for field in fields(found)},
    )


def _line(row: SweepRow) -> str:
    speed = row.figures.get("samples_per_s")
    found = row.error or ("" if speed is None else f"{people_numbers.figure(speed)} samples/s")
    return printable(f"{row.verdict}  {found.rstrip('.')}, took {clock(row.wall_s)}")
