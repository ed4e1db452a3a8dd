"""Where the timed window begins and ends, as two lines that a trace tool can wait for.

The lines are those that the workload framework's post-silicon runs look for, so its trace settings work unchanged.
"""

from __future__ import annotations

import threading
import time

from sut.record.measurements import MarkedTimes

BEGIN, END = "Running evaluation", "Evaluating: 100%"


class RegionOfInterest:
    """Prints each line once, to standard output and at once; `facts` says when."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._unix_s: dict[str, float] = {}

    def begin(self) -> None:
        """All samples are loaded; LoadGen's next step is its first query."""
        self._mark("begin", BEGIN)

    def end(self) -> None:
        """The last answer is with LoadGen."""
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
