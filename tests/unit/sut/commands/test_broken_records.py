"""Commands that read run.json, on records with one value changed: an answer or one clear error, never a traceback."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest
import records
from hypothesis import given
from hypothesis import strategies as st

from sut.commands.kpi import command as kpi_command
from sut.commands.replay import command as replay_command
from sut.commands.replay.differences import differences, sections
from sut.commands.sweep import rows
from sut.errors import UserError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("broken")


@given(data=st.data())
def test_a_changed_record_ends_in_an_answer_or_a_user_error(folder: Path, data: st.DataObject) -> None:
    content, _ = records.changed(data)
    (folder / "run.json").write_text(json.dumps(content))
    with suppress(UserError):
        assert kpi_command.main([str(folder), "--output", str(folder / "kpi.txt")]) == 0
    with suppress(UserError):
        then, now = replay_command.read(folder).record, records.record()
        differences(then, now, sections(then, now))
    assert rows.outcome(folder, exit_code=0).exit_code == 0
