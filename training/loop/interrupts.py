"""Ctrl-C and requests to end: noticed, so that the loop can finish its step and write a checkpoint.

A second signal interrupts at once.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from foundation.program import INTERRUPTS


@dataclass
class Interrupts:
    """Attributes: signal: the first that came."""

    signal: signal.Signals | None = None

    @property
    def name(self) -> str:
        """Of the signal; another rank's where none came here."""
        return self.signal.name if self.signal is not None else "to another process"

    def notice(self, number: int, _: FrameType | None = None) -> None:
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = signal.Signals(number)


@contextmanager
def noticed() -> Iterator[Interrupts]:
    """Signals of this block; outside of the main thread, which Python sends none, there are none."""
    interrupts = Interrupts()
    if threading.current_thread() is not threading.main_thread():
        yield interrupts
        return
    before = {number: signal.signal(number, interrupts.notice) for number in INTERRUPTS}
    try:
        yield interrupts
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
