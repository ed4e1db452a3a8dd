"""Rows of other packages: by an entry point, by "module:NAME", and what is said of those that do not load."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from foundation import plugged_table
from foundation.errors import UserError
from foundation.plugged_table import PluggedTable

MODULES = {
    "plugged_rows": "ROW = 'a row'\nclass Inside:\n    row = 'inside'\n__version__ = '0.3'\n",
    "plugged_broken": "import no_such_module\n",
}
ENTRIES = "[a.group]\nnamed = plugged_rows:ROW\nbroken = plugged_broken:ROW\nours = plugged_rows:ROW\n"


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PluggedTable[str]:
    installed(tmp_path, "first", ENTRIES)
    installed(tmp_path, "second", "[a.group]\ntwice = plugged_rows:ROW\n")
    installed(tmp_path, "third", "[a.group]\ntwice = plugged_rows:OTHER\n")
    for name, text in MODULES.items():
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    plugged_table._entry_points.cache_clear()
    return PluggedTable({"ours": "our row"}, what="thing", group="a.group", read=_row, error=UserError)


def installed(folder: Path, name: str, entries: str) -> None:
    info = folder / f"{name}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(entries)


def _row(spec: str, found: object) -> str:
    if not isinstance(found, str):
        raise UserError(f"expected text at {spec}")
    return found


@pytest.mark.parametrize(
    ("name", "row", "brought_by"),
    [
        ("ours", "our row", None),  # a table's own name is not another package's
        ("named", "a row", ("first", "1.2")),
        ("plugged_rows:ROW", "a row", ("plugged_rows", "0.3")),
        ("plugged_rows:Inside.row", "inside", ("plugged_rows", "0.3")),
    ],
)
def test_a_row(table: PluggedTable[str], name: str, row: str, brought_by: tuple[str, str] | None) -> None:
    assert (table[name], table.brought_by(name)) == (row, brought_by)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("our", r"a thing \(ours, broken, named, twice, or package.module:NAME\), found 'our'. Did you mean ours"),
        ("broken", "'broken', which is plugged_broken:ROW, to be importable, found ModuleNotFoundError"),
        ("no_such_module:ROW", "found ModuleNotFoundError: .* Install it, or set PYTHONPATH"),
        ("plugged_rows:ROWS", "found no 'ROWS' there. Did you mean ROW"),
        ("plugged_rows:Inside", "expected text at plugged_rows:Inside"),
        (":ROW", "to be importable"),
        ("twice", "expected one package that has thing 'twice', found .* type plugged_rows:ROW or plugged_rows:OTHER"),
    ],
)  # fmt: skip
def test_a_row_that_is_not_there(table: PluggedTable[str], name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        table[name]


def test_a_package_that_does_not_load_is_left_out_where_all_are_listed(table: PluggedTable[str]) -> None:
    assert table.names() == ("ours", "broken", "named", "twice")
    assert "plugged_rows" not in sys.modules  # names need no module
    assert table.working() == {"ours": "our row", "named": "a row"}
    assert table.of_others() == {"named": "a row"}


def test_a_module_of_the_current_directory_is_found_after_all_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: PluggedTable[str]
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    (here / "plugged_here.py").write_text("ROW = 'here'")
    (here / "plugged_rows.py").write_text("ROW = 'hidden'")
    monkeypatch.chdir(here)
    monkeypatch.setattr(sys, "path", [one for one in sys.path if one])
    assert table["plugged_here:ROW"] == "here" and table["plugged_rows:ROW"] == "a row"
