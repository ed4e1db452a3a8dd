"""rows.jsonl: one line for each run that ended, well or not, on the disk before the next run starts.

A line is written in one piece and synced, so whatever kills a sweep leaves whole lines and at most one half of a line,
which is dropped when the sweep goes on.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from sut.errors import INVALID, VALID, RunFailedError, UsageError
from sut.record import detail_log, figures

Row = dict[str, Any]
NAME = "rows.jsonl"
CONSOLE = "console.txt"  # in a run's log directory: all that it printed


def read(path: Path) -> list[Row]:
    """Every whole line; a half line at the end is cut off the file.

    Raises:
        UsageError: it cannot be read, or a line before the last is none of ours.
    """
    try:
        content = path.read_bytes() if path.exists() else b""
        whole, newline, half = content.rpartition(b"\n")
        if half:
            os.truncate(path, len(whole) + len(newline))
        return [_row(line) for line in whole.splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise UsageError(
            f"expected the rows of a sweep in {path}, found: {error}. Take another --output-dir."
        ) from error


def _row(line: bytes) -> Row:
    found = json.loads(line)
    if not isinstance(found, dict) or not {"point", "given", "repeat", "exit_code", "figures"} <= set(found):
        raise ValueError(f"a line that is no row: {line[:40]!r}")
    return found


def append(path: Path, row: Row) -> None:
    """Add a row and wait until the disk has it. Raises RunFailedError where the disk does not take it."""
    try:
        with path.open("ab") as file:
            file.write(json.dumps(row).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise RunFailedError(f"expected to write {path}, found: {error}. Make room there, then --resume.") from error


def outcome(log_dir: Path, exit_code: int) -> Row:
    """What came of a run, out of its run.json where it wrote one, else out of what it printed."""
    record = _record(log_dir)
    ended = exit_code in (VALID, INVALID) and bool(record)
    return {
        "exit_code": exit_code,
        "verdict": record.get("verdict", "FAILED") if ended else "FAILED",
        "reasons": record.get("reasons", []),
        "error": None if ended else _last_line(log_dir, exit_code),
        "figures": figures.of(record) if ended else {},
        "random_weights": bool(record.get("random_weights")),
        "notices": record.get("notices", []),
        "result": record.get("result"),
    }


def _record(log_dir: Path) -> Row:
    try:
        found = json.loads((log_dir / detail_log.RUN).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _last_line(log_dir: Path, exit_code: int) -> str:
    if exit_code < 0:  # killed: what it printed last says nothing of that
        return f"ended by signal {-exit_code}"
    try:
        printed = (log_dir / CONSOLE).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        printed = []
    ended = f"ended with exit code {exit_code}"
    return next((line.strip() for line in reversed(printed) if line.strip()), ended)
