"""What a command is doing while it has nothing to print: `with doing("loading the model"):`, on standard error.

A step of less than a second is not mentioned. On a terminal its line is live and shows the time; elsewhere there is a
line when the second is over, and more of them, first after ten seconds, then ever more rarely. Either way a last line
says how long it took.

How long a step may take is what it took on this machine before (step_times.py). Nothing is guessed.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from foundation.live_line import LiveLine
from foundation.people_numbers import clock

PATIENCE_S = 1.0  # without a word
_TICK_S, _SLOWING = 0.5, 0.5  # between two states; between two lines without a terminal, of the time so far


Say = Callable[[str], None]


@contextmanager
def doing(
    what: str, patience_s: float = PATIENCE_S, expected_s: float | None = None, *, sums_up: bool = True
) -> Iterator[Say]:
    """Say what the block does, if it takes longer than `patience_s`, and how long it took here before.

    `sums_up`: a last line says how long it took; False: what follows says it.

    Yields a function that the block may call with the part that it is at."""
    step = _Step(what, expected_s, sums_up)
    teller = threading.Thread(target=step.tell, args=(patience_s,), name="steps", daemon=True)
    teller.start()
    try:
        yield step.say
    finally:
        step.over.set()
        teller.join()


class _Step:
    """A step under way, which a thread tells of."""

    def __init__(self, what: str, expected_s: float | None, sums_up: bool) -> None:
        self.over = threading.Event()
        self._sums_up = sums_up
        self._what, self._expected_s, self._part = what, expected_s, ""

    def say(self, part: str) -> None:
        self._part = part

    def tell(self, patience_s: float) -> None:
        start_s, passed_s = time.monotonic(), 0.0
        if self.over.wait(patience_s):
            return
        line = LiveLine(slowing=_SLOWING)
        while True:
            share = passed_s / self._expected_s if self._expected_s else None
            line.update(state(self._what, self._part, passed_s, self._expected_s), share)
            if self.over.wait(_TICK_S):
                break
            passed_s = time.monotonic() - start_s
        line.end()
        if self._sums_up:
            print(f"{self._what}: took {clock(time.monotonic() - start_s)}", file=sys.stderr, flush=True)


def state(what: str, part: str, passed_s: float, expected_s: float | None) -> str:
    """The step, its part, and how long it may take: as long as it took here before, until it takes longer."""
    words = [f"{what}: {part}" if part else what, clock(passed_s) if passed_s else ""]
    if expected_s:
        is_late = passed_s >= expected_s
        words.append(f"it took {clock(expected_s)} before" if is_late else f"about {clock(expected_s - passed_s)} left")
    return ", ".join(filter(None, words))
