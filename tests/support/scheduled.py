"""A scheduler in front of an executor on nodes, which issues samples as LoadGen does and checks the answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import nodes
import numpy as np

from foundation.arrays import Float32, Int64
from sut.executors.fleet.executor import FleetExecutor
from sut.queries.scheduler import Scheduler
from sut.queries.server_queue import BatchLimits

PATIENCE_S = 20.0


class Test:
    """A test of LoadGen's: issues the samples of `nodes` to a scheduler, and keeps what comes back."""

    __test__ = False

    def __init__(
        self, executor: FleetExecutor, *, plan_at_issue: bool = True, room: Callable[[], int] | None = None
    ) -> None:
        self.answers: dict[int, Float32] = {}
        self.doubled: list[int] = []
        self._over = threading.Event()
        self._executor = executor
        self.scheduler = Scheduler(
            executor,
            nodes.FEATURES.lengths,
            nodes.FEATURES.lengths,
            self._complete,
            limits=BatchLimits(200, packed=True),
            plan_at_issue=plan_at_issue,
            room=room,
            on_complete=self._over.set,
        )

    def _complete(self, ids: Int64, outputs: Float32, rows: Int64) -> None:
        for id, found in zip(ids.tolist(), np.split(outputs, np.cumsum(rows)[:-1]), strict=True):
            if id in self.answers:
                self.doubled.append(id)
            self.answers[id] = found.copy()

    def issue(self, count: int = 300, then: Callable[[], None] = lambda: None) -> None:
        """Issue samples, and do something meanwhile."""
        indexes = [number % len(nodes.FEATURES) for number in range(count)]
        self.scheduler.issue_queries(range(1000, 1000 + count), indexes)
        then()
        self.scheduler.flush_queries()

    @property
    def failure(self) -> BaseException | None:
        return self.scheduler.failure or self._executor.failure

    def end(self, count: int = 300) -> None:
        """Wait for all answers; each must be right and there once."""
        until_s = time.monotonic() + PATIENCE_S
        while not self._over.wait(0.02):
            assert self.failure is None
            assert time.monotonic() < until_s, f"{len(self.answers)} answers"
        assert self.doubled == []
        assert sorted(self.answers) == list(range(1000, 1000 + count))
        for id, found in self.answers.items():
            np.testing.assert_array_equal(found, nodes.right((id - 1000) % len(nodes.FEATURES)))

    def fail(self) -> str:
        """Wait for the failure."""
        until_s = time.monotonic() + PATIENCE_S
        while self.failure is None:
            assert time.monotonic() < until_s, "waited in vain"
            time.sleep(0.01)
        return str(self.failure)
