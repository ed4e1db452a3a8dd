"""Text from strangers (servers, catalogues, logs, records of other machines) for a terminal, and for spreadsheets.

A terminal obeys escape sequences, and a spreadsheet program computes what begins like a formula. Whoever prints or
writes text that is not ours passes it through here.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

Cell = str | float | int | None
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_USER = re.compile(r"(?<=://)[^/?#\s]*@")  # of a URL, with or without a password
_SECRET = re.compile(r"(?<=[?&;])([^=&\s]*(?:token|key|sig|secret|passw|credential)[^=&\s]*)=[^&#\s]*", re.IGNORECASE)


def printable(text: str) -> str:
    """One line, with line ends, control characters and what reorders text as escapes: \\x1b."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def printable_lines(text: str) -> str:
    """As `printable`, of several lines."""
    return "\n".join(map(printable, text.split("\n")))


def without_secrets(text: str) -> str:
    """URLs without the user, the password, and the values of parameters that are named like keys."""
    return _SECRET.sub(r"\1=***", _USER.sub("***@", text))


def csv_text(rows: Iterable[Sequence[Cell]]) -> str:
    """Rows as CSV; text that a spreadsheet program would compute begins with an apostrophe."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([_inert(cell) for cell in row] for row in rows)
    return text.getvalue()


def _inert(cell: Cell) -> Cell:
    if not isinstance(cell, str):
        return cell
    shown = printable_lines(cell)
    return f"'{shown}" if cell.startswith(_FORMULA) and not _is_number(cell) else shown


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def workbook(
    title: str, rows: Iterable[Sequence[Cell]], bold: Collection[int], freeze: str, made: datetime | None = None
) -> bytes:
    """An .xlsx file of one sheet. Text is a cell of type text, whatever it begins with.

    Args:
        bold: numbers of rows, from 1 on.
        freeze: the first cell that scrolls, such as "A2".
        made: its time of creation, in UTC; None: now.
    """
    from openpyxl import Workbook
    from openpyxl.styles import Font

    book = Workbook()
    if made:
        book.properties.created = book.properties.modified = made.replace(tzinfo=None)
    sheet = book.active
    sheet.title = title
    for number, row in enumerate(rows, 1):
        for column, value in enumerate(row, 1):
            cell = sheet.cell(number, column, printable_lines(value) if isinstance(value, str) else value)
            if isinstance(value, str):
                cell.data_type = "s"
            if number in bold:
                cell.font = Font(bold=True)
    sheet.freeze_panes = freeze
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()
