"""Which of two calls is faster on this machine, by a trial."""

from __future__ import annotations

import time
from collections.abc import Callable

_ROUNDS = 5
_CLEARLY = 0.95  # of the other's time: at about equal times, chance decides nothing


def is_faster(one: Callable[[], object], other: Callable[[], object], threads: int) -> bool:
    """True if `one` is clearly faster than the other; they are called in turn."""
    # With one thread, its own time, in which other work on the core does not count.
    clock = time.thread_time if threads == 1 else time.perf_counter
    rounds = [[_seconds(call, clock) for call in (one, other)] for _ in range(_ROUNDS + 1)]
    one_s, other_s = map(min, zip(*rounds[1:], strict=True))
    return bool(one_s < _CLEARLY * other_s)


def _seconds(call: Callable[[], object], clock: Callable[[], float]) -> float:
    start_s = clock()
    call()
    return clock() - start_s
