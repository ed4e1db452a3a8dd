"""Files that commands leave for later commands: what is written is read back, a broken one is a clear error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sut.commands.compare import engines as compare_engines
from sut.commands.sweep import rows
from sut.commands.sweep.rows import SweepRow
from sut.errors import UsageError
from sut.settings.settings import RunConfig

ROW = SweepRow(
    point={"instances": 2, "target_qps": 1.5, "model": "demo", "find_peak": False},
    repeat=1,
    started="2026-01-02T03:04:05.678+00:00",
    wall_s=3.5,
    given={"instances": 2},
    log_dir="runs/a",
    exit_code=0,
    verdict="VALID",
    error=None,
    figures={"samples_per_s": 5.0},
)
BUILT = {"backend": "openvino", "precision": "int8", "model": "demo", "engine": "abc", "build_s": 1.5, "built_on": None}


def test_rows_are_read_as_they_were_written_and_half_a_line_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / rows.NAME
    assert rows.read(path) == []
    rows.append(path, ROW)
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:40])
    assert rows.read(path) == [ROW]
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"repeat": "one"}, "in line 2 'one' instead of a whole number at repeat"),
        ({"figures": {"p99_ms": None}}, r"in line 2 None instead of a number at figures\['p99_ms'\]"),
        ({"verdict": "GREAT"}, "in line 2 'GREAT' instead of one of"),
        ({"point": [1]}, "in line 2 a list instead of an object at point"),
    ],
)
def test_a_broken_row_is_named_with_its_line(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = tmp_path / rows.NAME
    rows.append(path, ROW)
    line = json.loads(path.read_text()) | change
    path.write_text(f"{path.read_text()}{json.dumps(line)}\n")
    with pytest.raises(UsageError, match=message):
        rows.read(path)


def test_the_index_of_engines_is_read_back(tmp_path: Path) -> None:
    (tmp_path / compare_engines.INDEX).write_text(json.dumps({"mine": BUILT}))
    found = compare_engines.find("mine", RunConfig(backend="openvino", precision="int8"), tmp_path)
    assert (found.engine, found.build_s) == ("abc", 1.5)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ("[]", "a list instead of an object"),
        (json.dumps({"mine": {"backend": "openvino"}}), r"nothing instead of text at \['mine'\].precision"),
        (json.dumps({"mine": BUILT | {"build_s": "fast"}}), "'fast' instead of a number"),
    ],
)
def test_a_broken_index_is_one_clear_error(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / compare_engines.INDEX).write_text(content)
    with pytest.raises(UsageError, match=rf"compare\.json.*{message}"):
        compare_engines.find("mine", RunConfig(), tmp_path)
