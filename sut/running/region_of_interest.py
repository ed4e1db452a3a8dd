"""Marks start and end of the timed window with two lines of output that a trace tool can wait for.

The lines are those of a workload framework, so that its trace settings work unchanged.
"""

from __future__ import annotations

import threading
import time

from sut.record.measurements import MarkedTimes

BEGIN, END = "Running evaluation", "Evaluating: 100%"


class RegionOfInterest:
    """Prints each line once to standard output, unbuffered; `facts` has the times."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._unix_s: dict[str, float] = {}

    def begin(self) -> None:
        """Mark the start: all samples are loaded, and LoadGen's next step is its first query."""
        self._mark("begin", BEGIN)

    def end(self) -> None:
        """Mark the end: the last response was reported."""
        self._mark("end", END)

    def facts(self) -> MarkedTimes:
        """When each was marked."""
        return MarkedTimes(self._unix_s.get("begin"), self._unix_s.get("end"))

    def _mark(self, name: str, line: str) -> None:
        with self._lock:
            if name in self._unix_s:
                return
            self._unix_s[name] = time.time()
            print(line, flush=True)
