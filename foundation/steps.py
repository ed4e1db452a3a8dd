"""What a command is doing while it has nothing to print: `with doing("loading the model"):`, on standard error.

A step of less than a second is not mentioned. On a terminal its line is live and shows the time; elsewhere there is a
line when the second is over, and more of them, first after ten seconds, then ever more rarely. Either way a last line
says how long it took.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from foundation import terminal
from foundation.people_numbers import clock

PATIENCE_S = 1.0  # without a word
_EVERY_S, _SHARE = 10.0, 0.5  # between two lines without a terminal: at least this, and this share of the time so far
_LIVE_S = 0.5  # between two states of a live line


@contextmanager
def doing(what: str, patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Say what the block does, if it takes longer than `patience_s`."""
    over = threading.Event()
    teller = threading.Thread(target=_tell, args=(what, over, patience_s), name="steps", daemon=True)
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join()


def _tell(what: str, over: threading.Event, patience_s: float) -> None:
    start_s = time.monotonic()
    if over.wait(patience_s):
        return
    (_tell_live if sys.stderr.isatty() else _tell_in_lines)(what, over, start_s)
    print(f"{what}: took {clock(time.monotonic() - start_s)}", file=sys.stderr, flush=True)


def _tell_live(what: str, over: threading.Event, start_s: float) -> None:
    from rich.text import Text

    with terminal.console(stderr=True).status(Text(what), spinner="line") as status:
        while not over.wait(_LIVE_S):
            status.update(Text(f"{what}, {clock(time.monotonic() - start_s)}"))


def _tell_in_lines(what: str, over: threading.Event, start_s: float) -> None:
    print(what, file=sys.stderr, flush=True)
    while not over.wait(max(_EVERY_S, _SHARE * (time.monotonic() - start_s))):
        print(f"{what}, {clock(time.monotonic() - start_s)}", file=sys.stderr, flush=True)
