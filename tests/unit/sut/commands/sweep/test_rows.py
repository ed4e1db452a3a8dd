"""What a sweep makes of a run that ended: its record counts, and only with the exit code that belongs to it."""

from __future__ import annotations

from pathlib import Path

import pytest
from records import record

from sut.commands.sweep import rows
from sut.record import run_record
from sut.record.run_record import Verdict


@pytest.mark.parametrize(
    ("verdict", "code", "counts", "error"),
    [
        ("VALID", 0, True, None),
        ("INVALID", 1, True, None),
        ("unfinished", 1, False, "the last line"),
        ("unfinished", 3, False, "the last line"),
        ("FAILED", 3, False, "the last line"),
        ("VALID", -9, False, "ended by signal 9"),
    ],
)
def test_outcome(tmp_path: Path, verdict: Verdict, code: int, counts: bool, error: str | None) -> None:
    run_record.write(tmp_path, record(verdict=verdict))
    (tmp_path / rows.CONSOLE).write_text("a line\nthe last line\n\n", encoding="utf-8")
    found = rows.outcome(tmp_path, code)
    assert (found.error, found.verdict) == (error, verdict if counts else "FAILED")
    assert bool(found.figures) == counts
