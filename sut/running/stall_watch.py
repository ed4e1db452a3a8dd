"""Notices an instance that answers no more: a stopped process, a deadlock in an engine, a device that hangs.

The oldest batch under way must be answered within a time that follows from those at warm-up. The time is counted in
steps of the watch, so a run that is suspended as a whole, with Ctrl-Z or with its machine, is not a stalled one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from foundation.people_numbers import figure
from sut.errors import RunFailedError
from sut.executors.base import JOBS_PER_INSTANCE, Ready
from sut.settings.settings import RunConfig

_LEAST_S = 60.0
_BATCHES = 20 * JOBS_PER_INSTANCE  # a batch waits for those ahead of it; a busy machine is several times slower
_REMOTE_TIMES = 3  # an executor on nodes counts its own deadlines, and a batch may be done twice
_STEP_S = 1.0  # at most; what is longer is a suspension


def limit_s(config: RunConfig, ready: Sequence[Ready]) -> float:
    """How long a batch may take, in seconds.

    In the network division nodes may let a late sample wait; the executor watches whether they answer at all.
    """
    if config.network_division:
        return math.inf
    batch_s = max(one.batch_s + one.token_s * config.batch_tokens for one in ready)
    limit_s = config.stall_timeout_s or max(_LEAST_S, _BATCHES * batch_s)
    return _REMOTE_TIMES * limit_s + _LEAST_S if config.is_on_nodes else limit_s


@dataclass
class StallWatch:
    """The watch of one test. `now_s` is a monotonic clock's."""

    limit_s: float
    _job: object | None = None
    _waited_s: float = 0.0
    _last_s: float | None = field(default=None)

    def failure(self, oldest_job: object | None, now_s: float) -> RunFailedError | None:
        """The error if the oldest batch, by identity, has been the same for too long."""
        step_s = 0.0 if self._last_s is None else min(now_s - self._last_s, _STEP_S)
        self._last_s = now_s
        if oldest_job is None or oldest_job is not self._job:
            self._job, self._waited_s = oldest_job, 0.0
            return None
        self._waited_s += step_s
        if self._waited_s <= self.limit_s:
            return None
        return RunFailedError(
            f"expected the answer to a batch within {figure(self.limit_s)} s, found none: an instance hangs. If "
            "batches take longer, type --stall-timeout-s with more seconds."
        )
