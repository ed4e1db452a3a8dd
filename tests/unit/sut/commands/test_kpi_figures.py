"""The parameters that `kpi` prints."""

from __future__ import annotations

from pathlib import Path

import pytest
import records

from sut.commands.kpi import command, figures
from sut.errors import UsageError
from sut.record import run_record
from sut.settings.settings import RunConfig


def test_the_command_line_can_be_typed_again() -> None:
    """The log directory of the run holds that run, so it is no part of the line."""
    run = records.record(config=RunConfig(backend="fake", model="a b", instances=2, log_dir=Path("runs/x")))
    lines = [kpi.value for kpi in figures.report(run).sections["PARAMS"] if kpi.name == "CMD"]
    assert lines == ["python -m sut --backend fake --model 'a b' --instances 2"]


NASTY = "\x1b[2J=1+1\n*Throughput: 9"  # text that a terminal, a spreadsheet or a reader of the lines would obey


@pytest.fixture
def nasty(tmp_path: Path) -> Path:
    """The record of a run with foreign text in it, in a directory with such a name."""
    folder = tmp_path / "=1+1"
    folder.mkdir()
    run_record.write(folder, records.record(notices=(NASTY,), reasons=("=cmd|' /C calc'!A1",)))
    return folder


@pytest.mark.parametrize("form", ["list", "csv"])
def test_foreign_text_is_printed_as_text(nasty: Path, form: str, capsys: pytest.CaptureFixture[str]) -> None:
    command.main([str(nasty), "--format", form])
    printed = capsys.readouterr().out
    assert "\x1b" not in printed and r"\x1b[2J=1+1" in printed
    if form == "list":
        assert "\n*Throughput: 9" not in printed


def test_a_workbook_holds_foreign_text_as_text(nasty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from openpyxl import load_workbook

    monkeypatch.chdir(tmp_path)
    command.main([nasty.name, "--format", "xlsx", "--output", "kpi.xlsx"])
    cells = [cell for row in load_workbook("kpi.xlsx").active.rows for cell in row]
    assert {cell.data_type for cell in cells if cell.value is not None} == {"s", "n"}
    assert nasty.name in [cell.value for cell in cells]


def test_a_file_that_is_replaced_is_named_and_a_record_is_never_replaced(
    nasty: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "kpi.csv"
    for replaced in (False, True):
        command.main([str(nasty), "--format", "csv", "--output", str(output)])
        assert ("replaced an earlier file" in capsys.readouterr().err) is replaced
    for record in (nasty / "run.json", nasty / ".." / nasty.name / "run.json"):
        with pytest.raises(UsageError, match="the record of a run"):
            command.main([str(nasty), "--output", str(record)])
    run_record.read(nasty)
