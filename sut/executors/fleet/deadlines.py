"""How long a node may take. A frozen machine raises nothing by itself, so each job has a deadline of its own."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

BATCHES = 20  # times the time of a batch
_LEAST_S = 5.0
_STEP_S = 1.0  # between two looks at the clock; what is longer is a suspension


def deadline_s(batch_s: float, asked_s: float | None) -> float:
    """How long a job may take on a node, given the time of a full batch there."""
    return asked_s or max(_LEAST_S, BATCHES * batch_s)


@dataclass
class RunningClock:
    """A monotonic clock that stands still while this process is suspended; `tick` is called several times a second."""

    _suspended_s: float = 0.0
    _looked_s: float = field(default_factory=time.monotonic)

    def tick(self) -> None:
        now_s = time.monotonic()
        self._suspended_s += max(0.0, now_s - self._looked_s - _STEP_S)
        self._looked_s = now_s

    def now(self) -> float:
        return time.monotonic() - self._suspended_s
