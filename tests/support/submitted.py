"""`python -m sut submit` as the end-to-end tests type it, and what it leaves in its output directory `out`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from command import Command, Ended

TRIAL = ("--short", "--submitter", "DemoOrg", "--output-dir", "out")


def to_the_end(command: Command) -> Ended:
    with command:
        return command.end()


def out(ended: Ended, name: str = "") -> Path:
    return ended.folder / "out" / name


def rows(ended: Ended) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(out(ended, "mlperf_submission_summary.json").read_text())
    return found
