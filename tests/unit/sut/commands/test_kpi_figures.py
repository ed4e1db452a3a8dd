"""The parameters that `kpi` prints."""

from __future__ import annotations

from pathlib import Path

import records

from sut.commands.kpi import figures
from sut.settings.settings import RunConfig


def test_the_command_line_can_be_typed_again() -> None:
    """The log directory of the run holds that run, so it is no part of the line."""
    run = records.record(config=RunConfig(backend="fake", instances=2, log_dir=Path("runs/x")))
    lines = [kpi.value for kpi in figures.report(run).sections["PARAMS"] if kpi.name == "CMD"]
    assert lines == ["python -m sut --backend fake --instances 2"]
