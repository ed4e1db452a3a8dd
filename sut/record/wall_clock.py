"""The wall clock, which LoadGen measures with, against the monotonic one: a step makes every figure of a run wrong.

LoadGen uses C++'s high_resolution_clock, which is CLOCK_REALTIME on Linux: a correction by NTP, a suspended machine or
`date -s` during a test lengthens or shortens it. The difference of the two clocks is constant otherwise, since the
kernel applies a gradual correction (slewing) to both.
"""

from __future__ import annotations

import time
from collections.abc import Callable

# The largest share of the window that a step may have. A figure may then be off by as much, which is about what two
# equal runs differ by. NTP daemons slew corrections below 0.1 s: 0.02 per cent of a valid run.
_SHARE = 0.01
_LEAST_S = 0.002  # of any window: the two clocks are read one after the other, on a busy machine


class WallClock:
    """Compares the clocks from its construction on.

    Args:
        wall_s, monotonic_s: the clocks, in seconds.
    """

    def __init__(
        self, wall_s: Callable[[], float] = time.time, monotonic_s: Callable[[], float] = time.perf_counter
    ) -> None:
        self._wall_s, self._monotonic_s = wall_s, monotonic_s
        self._start_s = self._difference_s()
        self.step_s = 0.0  # the largest deviation so far; below 0 backwards

    def update(self) -> None:
        """Compare them now: often, because a step forwards and one backwards cancel out."""
        step_s = self._difference_s() - self._start_s
        if abs(step_s) > abs(self.step_s):
            self.step_s = step_s

    def _difference_s(self) -> float:
        """Wall minus monotonic, from the closest of three readings: a process may lose its core in between."""
        readings = []
        for _ in range(3):
            before_s, wall_s, after_s = self._monotonic_s(), self._wall_s(), self._monotonic_s()
            readings.append((after_s - before_s, wall_s - (before_s + after_s) / 2))
        return min(readings)[1]

    def reasons(self, window_s: float) -> list[str]:
        """Why a performance run with this timed window is invalid; empty if the clock was steady."""
        if abs(self.step_s) <= max(_LEAST_S, _SHARE * window_s):
            return []
        return [
            f"the wall clock, by which LoadGen measures, was stepped by {self.step_s:+.3g} s during the test: run "
            "again, with the clock synchronized before and the machine never suspended"
        ]
