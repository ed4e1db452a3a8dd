"""The queue of an agent: groups of batches in, to the executor of the node's instances, groups of answers out.

`work` and `take` are calls of the run's; both may be under way at the same time.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

from sut.executors.base import Executor, Job, Outcome
from sut.executors.instance import portable
from sut.executors.ray_cluster.groups import Answered, Answers, Batches
from sut.nodes.errors import NodeError

_TAKE_S, _STEP_S = 10.0, 0.2  # a call returns at the latest after this; between two looks for a failure


def take_a_normal_priority() -> None:
    """Raise this process from the niceness of Ray's workers, 15, if it may: instances would give way to any process."""
    with suppress(OSError):
        for thread in (int(path.name) for path in Path("/proc/self/task").iterdir()):
            if os.getpriority(os.PRIO_PROCESS, thread) > 0:
                os.setpriority(os.PRIO_PROCESS, thread, 0)


def exit_after_parent() -> None:
    """Watch this process's parent, a raylet, from now on: Python would wait for the instances before it exits."""
    threading.Thread(target=_exit_after, args=(os.getppid(),), name="raylet", daemon=True).start()


def _exit_after(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_STEP_S)
    os._exit(1)


class AgentQueue:
    """In front of an executor that has been started."""

    def __init__(self, executor: Executor, take_s: float = _TAKE_S) -> None:
        self._executor, self._take_s = executor, take_s
        self._answered: list[Answered] = []
        self._under_way = 0
        self._changed = threading.Condition()

    def work(self, batches: Batches) -> None:
        """Hand batches to the instances. Returns at once."""
        with self._changed:
            self._under_way += len(batches.numbers)
        for number, indexes in batches.each():
            self._executor.submit(Job(indexes, indexes), partial(self._done, number))

    def _done(self, number: int, outcome: Outcome) -> None:
        answer = outcome.answer
        with self._changed:
            self._under_way -= 1
            if self._executor.failure is None:  # else the node is lost, and its batches are done elsewhere
                outputs = None if answer.outputs is None else answer.outputs.copy()
                error = None if answer.error is None else portable(answer.error)
                kept = answer._replace(outputs=outputs, error=error)
                self._answered.append(Answered(number, outcome.instance, kept))
            self._changed.notify_all()

    def take(self, linger_s: float, batches: Batches | None = None) -> Answers:
        """What has been answered, as soon as there is something; waits this long for more to answer in one call.

        Args:
            batches: handed to the instances first, which saves a call.

        Raises:
            NodeError: an instance has exited: half a node would pass for a whole one.
        """
        if batches:
            self.work(batches)
        until_s = time.monotonic() + self._take_s
        found: list[Answered] = []
        with self._changed:
            while not found and not self._executor.failure and time.monotonic() < until_s:
                if not self._answered:
                    self._changed.wait(min(_STEP_S, self._take_s))  # an idle instance that exits does not notify
                    continue
                self._changed.wait_for(lambda: not self._under_way or self._executor.failure, linger_s)
                found, self._answered = self._answered, []  # another call may have taken them meanwhile
        if not found and self._executor.failure:
            raise NodeError(str(self._executor.failure))
        return Answers.of(found)
