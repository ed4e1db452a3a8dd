"""A line on standard error that shows the state of something, until the next state or the end replaces it.

On a terminal and in a notebook it is overwritten in place. Elsewhere it is a new line for a state now and then. A
command that shows the states itself asks for them by `WIDTH` in the environment of its child: each then ends with a
carriage return, and fits into that number of columns.
"""

from __future__ import annotations

import os
import sys
import time

from foundation.foreign_text import printable
from foundation.people_numbers import typed

WIDTH = "MLPERF_BERT_SUT_LIVE_WIDTH"
_NOTEBOOK, _NOTEBOOK_COLUMNS = "ipykernel", 100  # its stream is no terminal, and carriage returns work in it
_UNKNOWN_COLUMNS = 80
_LIVE_S, _EVERY_S = 0.25, 10.0  # between two states: of a live line, of lines
_LONGEST_BAR, _SHORTEST_BAR = 20, 5  # cells
_DONE, _LEFT = "━", "─"


class LiveLine:
    """One line; `update` may be called at any rate."""

    def __init__(self, wait_s: float = 0.0, slowing: float = 0.0) -> None:
        """`wait_s`: until the first line, `slowing`: between two at least this share of the time so far; both of a line
        that is not live."""
        self._width = width()
        self._wait_s, self._slowing = (0.0, 0.0) if self.is_live else (wait_s, slowing)
        self._start_s = time.monotonic()
        self._next_s, self._shown = self._start_s + self._wait_s, ""

    @property
    def is_live(self) -> bool:
        return self._width is not None

    def update(self, text: str, share: float | None = None) -> None:
        """Show a state; `share`: how much of it is done, from 0 to 1, shown as a bar if there is room."""
        now_s = time.monotonic()
        if now_s < self._next_s:
            return
        if self._width is None:
            self._next_s = now_s + max(_EVERY_S, self._slowing * (now_s - self._start_s))
            print(text, file=sys.stderr, flush=True)
        else:
            self._next_s = now_s + _LIVE_S
            self._overwrite(fitted(text, share, self._width))

    def end(self) -> None:
        """Erase a live line."""
        if self._shown:
            self._overwrite("")

    def _overwrite(self, text: str) -> None:
        print(text.ljust(len(self._shown)), end="\r", file=sys.stderr, flush=True)
        self._shown = text


def width() -> int | None:
    """Columns for a live line; None where there is none."""
    if asked := typed(os.environ.get(WIDTH, "")):
        return int(asked)
    if type(sys.stderr).__module__.partition(".")[0] == _NOTEBOOK:
        return _NOTEBOOK_COLUMNS
    if not sys.stderr.isatty():
        return None
    try:
        columns = os.get_terminal_size(sys.stderr.fileno()).columns
    except OSError:
        columns = 0
    return max((columns or _UNKNOWN_COLUMNS) - 1, 1)  # a full line would wrap; a terminal may give its size as 0


def fitted(text: str, share: float | None, columns: int) -> str:
    """The text behind a bar that fills the rest of the columns."""
    text = printable(text)[:columns]
    cells = min(_LONGEST_BAR, columns - len(text) - 1)
    if share is None or cells < _SHORTEST_BAR:
        return text
    done = round(cells * min(max(share, 0.0), 1.0))
    return f"{_DONE * done}{_LEFT * (cells - done)} {text}"
