"""Jobs that two nodes have: a slow one, and one that was idle. The first answer counts."""

from __future__ import annotations

from dataclasses import dataclass, field

from sut.executors.base import Job


@dataclass
class Copies:
    """Of each such job how many are under way, and whether it is answered. Not thread-safe."""

    _under_way: dict[Job, int] = field(default_factory=dict)
    _answered: set[Job] = field(default_factory=set)

    def add(self, job: Job) -> bool:
        """A job is sent once more; False if it must not be, since it was already."""
        if job in self._under_way:
            return False
        self._under_way[job] = 2
        return True

    def is_first_answer(self, job: Job) -> bool:
        """A job was answered by a node: whether nothing has answered it before."""
        is_first = job not in self._answered
        if self._one_less(job):
            self._answered.add(job)
        return is_first

    def is_lost(self, job: Job) -> bool:
        """A job was lost with a node: whether it has no answer, and no other node has it."""
        was_answered = job in self._answered
        return not self._one_less(job) and not was_answered

    def _one_less(self, job: Job) -> bool:
        """One is no longer under way: whether another one is."""
        left = self._under_way.get(job, 1) - 1
        if left:
            self._under_way[job] = left
        else:
            self._under_way.pop(job, None)
            self._answered.discard(job)
        return left > 0
