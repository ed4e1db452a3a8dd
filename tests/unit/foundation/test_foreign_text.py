"""Foreign text: a terminal gets no escapes, a spreadsheet no formulas, a password is not shown."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.foreign_text import Cell, csv_text, printable, printable_lines, without_secrets, workbook


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("größer, ✓", "größer, ✓"),
        ("a\x1b[2Jb", r"a\x1b[2Jb"),
        ("a\nb\r\t\x00", r"a\nb\r\t\x00"),
        ("abc\u202etxt.exe", r"abc\u202etxt.exe"),
        ("\udcff", r"\udcff"),
        ("\x9b2J", r"\x9b2J"),
    ],
)
def test_what_a_terminal_would_obey_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text())
def test_any_text_becomes_one_printable_line(text: str) -> None:
    assert printable(text).isprintable()
    assert all(line.isprintable() for line in printable_lines(text).split("\n"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:pw@host/a?b=c", "https://***@host/a?b=c"),
        ("https://me:p@w@host/a", "https://***@host/a"),
        ("https://token@host/a", "https://***@host/a"),
        ("https://host/a@b", "https://host/a@b"),
        ("https://host/a?X-Amz-Signature=12ab&x=1", "https://host/a?X-Amz-Signature=***&x=1"),
        (
            "see https://host/a?access_token=1 and http://u:p@h.",
            "see https://host/a?access_token=*** and http://***@h.",
        ),
        ("https://huggingface.co/a/b/resolve/main/x", "https://huggingface.co/a/b/resolve/main/x"),
    ],
)
def test_urls_are_shown_without_their_secrets(text: str, shown: str) -> None:
    assert without_secrets(text) == shown


CELLS: list[Cell] = [
    "=1+1",
    "+1+1",
    "-1+1",
    "@SUM(A1)",
    "\t=1",
    "plain",
    "-1",
    "1e5",
    -1,
    2.5,
    None,
    'a "b", c',
    "=1\n+1",
]


def test_text_in_csv_is_never_a_formula_and_numbers_stay_numbers() -> None:
    [row] = csv.reader(io.StringIO(csv_text([CELLS])))
    assert row == [
        "'=1+1", "'+1+1", "'-1+1", "'@SUM(A1)", r"'\t=1", "plain", "-1", "1e5", "-1", "2.5", "", 'a "b", c', "'=1\n+1",
    ]  # fmt: skip


def test_text_in_a_workbook_is_text_whatever_it_begins_with() -> None:
    from openpyxl import load_workbook

    sheet = load_workbook(io.BytesIO(workbook("a", [CELLS, ["\x1b", "\udcff"]], bold=[1], freeze="A2"))).active
    kinds = {cell.value: cell.data_type for cell in sheet[1] if cell.value is not None}
    assert {kinds[text] for text in kinds if isinstance(text, str)} == {"s"}
    assert [cell.value for cell in sheet[2]][:2] == [r"\x1b", r"\udcff"]
