"""A table that fits the console: nothing is cut, and a word is never broken if there is another way.

A row is a line if there is room; else a few lines, where its cells allow it; else a block with a line for each cell.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from foundation import terminal

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

_GAP = 2
_ANY_WIDTH = 1 << 20


def show(headings: Sequence[str], rows: Sequence[Sequence[str]], numbers: Collection[str] = ()) -> None:
    """Print rows below their headings. A line end in a heading or a cell is where it may be broken.

    Args:
        numbers: headings of columns that are aligned to the right.
    """
    console = terminal.console()
    for part in fitted(headings, rows, numbers):
        console.print(part, crop=False, overflow="ignore")


def fitted(
    headings: Sequence[str], rows: Sequence[Sequence[str]], numbers: Collection[str] = (), *, stderr: bool = False
) -> list[RenderableType]:
    """What `show` prints, one below the other, for a display that is drawn again."""
    from rich.text import Text

    console = terminal.console(stderr=stderr)
    lines = [[cell.replace("\n", " ") for cell in row] for row in (headings, *rows)]
    for parts in (lines, [headings, *rows]):
        table = _table(parts, [heading in numbers for heading in headings])
        if console.measure(table, options=console.options.update(max_width=_ANY_WIDTH)).maximum <= console.width:
            return [table]
    blocks = ((Text(row[0], overflow="fold"), _block(lines[0][1:], row[1:])) for row in lines[1:])
    return [part for block in blocks for part in block]


def _table(rows: Sequence[Sequence[str]], right: Sequence[bool]) -> Table:
    from rich.table import Table

    found = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False)
    for heading, is_right in zip(rows[0], right, strict=True):
        found.add_column(heading, justify="right" if is_right else "left", no_wrap=True)
    for row in rows[1:]:
        found.add_row(*row)
    return found


def _block(headings: Sequence[str], cells: Sequence[str]) -> Table:
    """Each cell on a line of its own, indented."""
    from rich.table import Table

    found = Table(show_header=False, box=None, padding=(0, _GAP, 0, 0))
    found.add_column(width=0)
    found.add_column(style="dim", no_wrap=True)
    found.add_column(overflow="fold")
    for heading, cell in zip(headings, cells, strict=True):
        found.add_row("", heading, cell)
    return found
