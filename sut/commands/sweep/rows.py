"""rows.jsonl: one line for each finished run, valid or failed, written to disk before the next run starts.

A line is written at once and synced, so a killed sweep leaves complete lines and at most one partial line, which is
dropped when the sweep continues.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from foundation import bounded_readers
from foundation.bounded_readers import UnreadableError
from foundation.typed_json import decode, encode
from sut.commands.sweep.grid import Value
from sut.errors import INVALID, VALID, RunFailedError, UsageError
from sut.record import figures, run_record
from sut.record.results import Result
from sut.record.run_record import RunRecord, Verdict

NAME = "rows.jsonl"
CONSOLE = "console.txt"  # in a run's log directory: its output
_MOST_BYTES = 1 << 30

Row = TypeVar("Row", bound="RunOutcome")


@dataclass(frozen=True, kw_only=True)
class RunOutcome:
    """The outcome of a run."""

    exit_code: int
    verdict: Verdict
    reasons: tuple[str, ...] = ()
    error: str | None  # the error of a failed run
    figures: Mapping[str, float]
    random_weights: bool = False
    notices: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()  # of the run: what makes its figures lower than they could be
    result: Result | None = None


@dataclass(frozen=True, kw_only=True)
class SweepRow(RunOutcome):
    """One finished run of a sweep, valid or failed."""

    point: Mapping[str, Value]
    repeat: int  # from 1 on
    started: str = ""
    wall_s: float = 0.0
    trial: bool = True
    given: Mapping[str, Value | None]
    log_dir: str = ""  # relative to the sweep's directory


def read(path: Path) -> list[SweepRow]:
    """The rows of a sweep; see `read_as`."""
    return read_as(SweepRow, path)


def read_as(kind: type[Row], path: Path) -> list[Row]:
    """Read all complete lines; a partial line at the end is truncated.

    Raises:
        UsageError: it cannot be read, or a line before the last is not a row.
    """
    if not path.exists():
        return []
    try:
        content = bounded_readers.read_bytes(path, _MOST_BYTES)
        complete, newline, partial = content.rpartition(b"\n")
        if partial:
            os.truncate(path, len(complete) + len(newline))
        return [_row(kind, line, number) for number, line in enumerate(complete.splitlines(), start=1) if line.strip()]
    except (OSError, UnreadableError) as error:
        raise UsageError(
            f"expected the rows of a sweep in {path}, found {error}. Type another --output-dir."
        ) from error


def _row(kind: type[Row], line: bytes, number: int) -> Row:
    try:
        return decode(kind, bounded_readers.parse_json(line))
    except UnreadableError as error:
        raise UnreadableError(f"in line {number} {error}") from error


def append(path: Path, row: RunOutcome) -> None:
    """Append a row and sync it to disk. Raises RunFailedError if it cannot be written."""
    try:
        with path.open("ab") as file:
            file.write(json.dumps(encode(row)).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise RunFailedError(
            f"expected to write {path}, found: {error}. Free some space, then type the same command with --resume."
        ) from error


def outcome(log_dir: Path, exit_code: int) -> RunOutcome:
    """The outcome of a run: from its record, or from its output if it wrote none."""
    record = _record(log_dir)
    if record is None:
        return RunOutcome(exit_code=exit_code, verdict="FAILED", error=_last_line(log_dir, exit_code), figures={})
    has_ended = exit_code in (VALID, INVALID) and record.has_ended
    return RunOutcome(
        exit_code=exit_code,
        verdict=record.verdict if has_ended else "FAILED",
        reasons=record.reasons,
        error=None if has_ended else _last_line(log_dir, exit_code),
        figures=figures.of(record) if has_ended else {},
        random_weights=record.random_weights,
        notices=record.notices,
        warnings=record.warnings or (),
        result=record.result,
    )


def _record(log_dir: Path) -> RunRecord | None:
    try:
        return run_record.read(log_dir)
    except UsageError:
        return None


def _last_line(log_dir: Path, exit_code: int) -> str:
    if exit_code < 0:  # killed: its output does not tell why
        return f"ended by signal {-exit_code}"
    try:
        printed = (log_dir / CONSOLE).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        printed = []
    ended = f"ended with exit code {exit_code}"
    return next((line.strip() for line in reversed(printed) if line.strip()), ended)
