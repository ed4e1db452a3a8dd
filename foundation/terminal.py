"""Standard output and error that never raise, and rich's console on them: printing is never part of a result.

A reader that exits, a full disk or a closed descriptor ends the text and nothing else. The descriptor then leads to
/dev/null, so that LoadGen, the engines and child processes, which write to it themselves, fail as little as Python.
"""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO

from foundation.foreign_text import printable_lines

if TYPE_CHECKING:
    from rich.console import Console

_INPUT, _OUTPUT, _ERROR = range(3)
_FILE_COLUMNS = 10_000
_PATIENCE_S = 5.0  # for a reader of a descriptor that does not block
_lost: dict[int, OSError] = {}  # descriptor → why its text ended


def secure() -> None:
    """Open what is closed of descriptors 0 to 2, and replace `sys.stdout` and `sys.stderr` by streams that never raise.

    The first thing that a process does: otherwise the next file that it opens becomes its standard output. What an
    encoding lacks is written as an escape.
    """
    for number in (_INPUT, _OUTPUT, _ERROR):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest free number, which is this one
    sys.stdout, sys.stderr = _stream(_OUTPUT, sys.stdout), _stream(_ERROR, sys.stderr)


def lost_output() -> OSError | None:
    """Why text for standard output was lost; None if it was not, or if its reader stopped reading."""
    found = _lost.get(_OUTPUT)
    return None if found is None or found.errno == errno.EPIPE else found


def console(*, stderr: bool = False) -> Console:
    """rich's console for plain text: a user's names and paths are no markup, and foreign text has no escapes.

    What is no terminal gets whole lines: a program reads them.
    """
    from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook, RenderResult
    from rich.segment import Segment

    class Inert:
        """A renderable with every control character in its text escaped; rich's own are segments of another kind."""

        def __init__(self, inner: ConsoleRenderable) -> None:
            self.inner = inner

        def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
            for text, style, control in console.render(self.inner, options):
                yield Segment(text if control else printable_lines(text), style, control)

    class InertText(RenderHook):
        def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
            return [Inert(one) for one in renderables]

    found = Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    found.push_render_hook(InertText())
    if not found.is_terminal:
        found.width = _FILE_COLUMNS
    return found


def _stream(number: int, was: TextIO | None) -> TextIO:
    """A stream in the encoding and the buffering of the one that Python opened, if it did."""
    known = was if isinstance(was, io.TextIOWrapper) else None
    if known:
        with suppress(OSError, ValueError):
            known.flush()
    raw = _Descriptor(number)
    unbuffered = known is not None and known.write_through
    return io.TextIOWrapper(
        raw if unbuffered else io.BufferedWriter(raw),
        encoding=known.encoding if known else "utf-8",
        errors="backslashreplace",
        line_buffering=known.line_buffering if known else number == _ERROR,
        write_through=unbuffered,
    )


class _Descriptor(io.FileIO):
    """Writes to a descriptor until that fails, then to /dev/null."""

    def __init__(self, number: int) -> None:
        super().__init__(number, "w", closefd=False)

    def write(self, data: Any, /) -> int:
        """Write all of it, which a file of the operating system need not do at once."""
        left = memoryview(data).cast("B")
        total = left.nbytes
        try:
            while left:
                written = super().write(left)
                if written is None and not select.select([], [self], [], _PATIENCE_S)[1]:
                    raise BlockingIOError(errno.EAGAIN, "its reader does not read")
                left = left[written or 0 :]
        except (OSError, ValueError) as error:
            _lose(self.fileno(), error if isinstance(error, OSError) else OSError(str(error)))
        return total


def _lose(number: int, error: OSError) -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, number)
    os.close(null)
    _lost[number] = error
    if number == _OUTPUT and error.errno != errno.EPIPE and sys.stderr is not None:
        text = f"note: standard output cannot be written ({error.strerror}); the rest of its text is lost."
        print(text, file=sys.stderr)
