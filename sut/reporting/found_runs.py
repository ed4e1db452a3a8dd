"""The runs below a directory: every run.json in it, whatever made them (a sweep, a submission, single runs)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from foundation.log_files import RUN
from sut.errors import UsageError
from sut.record import run_record
from sut.record.machine_limit import MachineLimit
from sut.record.run_record import RunRecord

_DEPTH = 8  # of directories
_MOST = 10_000  # runs


@dataclass(frozen=True)
class FoundRun:
    """A run: its log directory, its record, and the limit of its machine if that was measured."""

    directory: Path
    record: RunRecord
    limit: MachineLimit | None = None

    @property
    def when_unix_s(self) -> float:
        """The time of its first query; of a run without one, of its record."""
        if self.record.first_query_unix_s is not None:
            return self.record.first_query_unix_s
        try:
            return run_record.path_of(self.directory).stat().st_mtime
        except OSError:
            return 0.0


@dataclass(frozen=True)
class FoundRuns:
    """The runs, newest first, and why others cannot be read."""

    runs: tuple[FoundRun, ...]
    unreadable: tuple[str, ...]


def below(directory: Path) -> FoundRuns:
    """All runs in a directory and in those below it; links are not followed.

    Raises:
        UsageError: it is no directory.
    """
    if not directory.is_dir():
        raise UsageError(f"expected a directory with runs, found none at {directory}. Type another directory.")
    runs, unreadable = [], []
    for path in _directories(directory):
        try:
            runs.append(FoundRun(path, run_record.read(path)))
        except UsageError as error:
            unreadable.append(str(error))
    runs.sort(key=lambda run: (run.when_unix_s, str(run.directory)), reverse=True)
    return FoundRuns(tuple(runs), tuple(unreadable))


def _directories(top: Path) -> Iterator[Path]:
    """The directories that hold a run.json."""
    left = _MOST
    for name, inner, files in os.walk(top):
        path = Path(name)
        inner[:] = sorted(inner) if len(path.relative_to(top).parts) < _DEPTH else []
        if RUN in files:
            inner.clear()  # a run holds no other
            left -= 1
            yield path
        if not left:
            return
