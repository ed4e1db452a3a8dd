"""A run that lost a node: a result, but of another system than the one described."""

from __future__ import annotations

from dataclasses import replace

from sut.executors.base import Executor
from sut.executors.fleet.executor import FleetExecutor
from sut.running.prepare import Prepared


def after_test(prepared: Prepared, executor: Executor) -> Prepared:
    """The same with a notice if a node was lost."""
    if not isinstance(executor, FleetExecutor):
        return prepared
    lost = [address for node in executor.record() for address in node.lost]
    if not lost:
        return prepared
    who = f"node {lost[0]} was" if len(lost) == 1 else f"nodes {', '.join(lost)} were"
    notice = f"{who} lost during the run: not submittable, since what ran is not the system described"
    return replace(prepared, notices=(*prepared.notices, notice))
