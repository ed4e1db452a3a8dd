"""Warms a node up and measures its speed from here, with the batches of this run, network included."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sut.executors.base import JOBS_PER_INSTANCE, Done, Job, Outcome, Ready
from sut.executors.fleet.member import Member
from sut.executors.remote.samples import blank
from sut.executors.remote.terms import Terms
from sut.nodes.errors import NodeError
from sut.nodes.messages import InstanceSpeed

_SINGLES = 3

Submit = Callable[[Job, Done], None]


def measure(submit: Submit, node: Member, own: Sequence[InstanceSpeed], terms: Terms) -> Ready:
    """The speed of each instance of a node, which `submit` sends jobs to. Raises the error of a batch.

    Args:
        own: the speeds that the node has measured itself.
    """
    instances = len(own)
    shape = terms.shapes[-1]
    rounds = _Rounds(submit, node, 2 * node.patience_s)
    for one in terms.shapes:
        rounds.seconds(one, jobs=instances * terms.steps, at_once=instances)
    jobs, spent_s, best_s = JOBS_PER_INSTANCE * instances, 0.0, float("inf")
    while spent_s <= terms.timing_s:
        taken_s = rounds.seconds(shape, jobs=jobs, at_once=min(jobs, max(node.credits, 1)))
        spent_s, best_s = spent_s + taken_s, min(best_s, taken_s)
    single = (1, shape[1])
    one_s = min(rounds.seconds(single, jobs=1, at_once=1) for _ in range(_SINGLES)) if shape[0] > 1 else None
    packed, load_s = all(one.packed for one in own), max(one.load_s for one in own)
    return Ready.measured(load_s, shape, best_s * instances / jobs, one_s, packed=packed)


@dataclass(frozen=True)
class _Rounds:
    """Batches of one shape, and their time. A node that forms batches gets their samples one by one."""

    submit: Submit
    node: Member
    patience_s: float  # for any of them; the executor's own deadlines come before it

    def seconds(self, shape: tuple[int, int], *, jobs: int, at_once: int) -> float:
        """The time of `jobs` batches, of which `at_once` are under way."""
        if self.node.forms_batches:
            samples, length = shape
            shape, jobs, at_once = (1, length), jobs * samples, min(at_once * samples, max(self.node.credits, 1))
        outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        start_s = time.perf_counter()
        for number in range(jobs):
            if number >= at_once:
                self._check(outcomes)
            self.submit(blank(*shape), outcomes.put)
        for _ in range(min(at_once, jobs)):
            self._check(outcomes)
        return max(time.perf_counter() - start_s, 1e-6)

    def _check(self, outcomes: queue.SimpleQueue[Outcome]) -> None:
        try:
            outcome = outcomes.get(timeout=self.patience_s)
        except queue.Empty:
            raise NodeError("expected the answer to a batch at warm-up, found that nothing answers") from None
        if outcome.answer.error is not None:
            raise outcome.answer.error
