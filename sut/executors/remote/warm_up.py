"""Warms a node up and measures its speed from here, with the batches of this run, network included."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Sequence

from sut.executors.base import JOBS_PER_INSTANCE, Done, Job, Outcome, Ready
from sut.executors.remote.samples import blank
from sut.nodes.messages import Welcome

_SINGLES = 3

Submit = Callable[[Job, Done], None]


def measure(submit: Submit, node: Welcome, shapes: Sequence[tuple[int, int]], steps: int, timing_s: float) -> Ready:
    """The speed of each instance of a node. Raises the error of a batch.

    Args:
        submit: sends a job to the node.
        shapes: (samples, tokens each) to warm up on; the last one is timed.
        steps: how often each shape is run on each instance before that.
        timing_s: how long to time it at least.
    """
    instances = len(node.instances)
    for shape in shapes:
        _seconds(submit, shape, jobs=instances * steps, at_once=instances)
    jobs, spent_s, best_s = JOBS_PER_INSTANCE * instances, 0.0, float("inf")
    while spent_s <= timing_s:
        taken_s = _seconds(submit, shapes[-1], jobs=jobs, at_once=min(jobs, node.credits))
        spent_s, best_s = spent_s + taken_s, min(best_s, taken_s)
    samples, length = shapes[-1]
    one_s = min(_seconds(submit, (1, length), jobs=1, at_once=1) for _ in range(_SINGLES)) if samples > 1 else None
    packed = all(one.packed for one in node.instances)
    load_s = max(one.load_s for one in node.instances)
    return Ready.measured(load_s, shapes[-1], best_s * instances / jobs, one_s, packed=packed)


def _seconds(submit: Submit, shape: tuple[int, int], *, jobs: int, at_once: int) -> float:
    """The time of `jobs` batches, of which `at_once` are under way."""
    outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
    start_s = time.perf_counter()
    for number in range(jobs):
        if number >= at_once:
            _check(outcomes.get())
        submit(blank(*shape), outcomes.put)
    for _ in range(min(at_once, jobs)):
        _check(outcomes.get())
    return max(time.perf_counter() - start_s, 1e-6)


def _check(outcome: Outcome) -> None:
    if outcome.answer.error is not None:
        raise outcome.answer.error
