"""Records of runs for tests: one as the first edition wrote it, and variations of it as this one writes them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from sut.record import run_record
from sut.record.run_record import RunRecord

FIRST_EDITION = Path(__file__).with_name("first_edition_run.json")  # a trial of the demo: Offline, performance


def first_edition() -> dict[str, Any]:
    """The file's content."""
    content: dict[str, Any] = json.loads(FIRST_EDITION.read_text(encoding="utf-8"))
    return content


def record(**changes: Any) -> RunRecord:
    """The same run as this edition records it, with other values for some fields."""
    return replace(run_record.parse(first_edition()), record_version=run_record.VERSION, **changes)
