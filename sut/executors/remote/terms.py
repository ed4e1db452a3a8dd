"""How nodes are warmed up, and how long they may take to answer.

A frozen machine raises nothing by itself, so each job has a deadline, which follows from the speed at warm-up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_LEAST_S, _BATCHES = 5.0, 20


def deadline_s(batch_s: float, asked_s: float | None) -> float:
    """How long a job may take on a node, given the time of a full batch there."""
    return asked_s or max(_LEAST_S, _BATCHES * batch_s)


@dataclass(frozen=True, kw_only=True)
class Terms:
    """How nodes are warmed up, and how long they may take to answer."""

    shapes: Sequence[tuple[int, int]]  # (samples, tokens each) of warm-up batches; the last one is timed
    steps: int  # how often each is run on each instance
    batch_tokens: int  # of the largest batch
    patience_s: float | None  # for any answer; None: as the speed at warm-up says
    load_patience_s: float  # for an answer at warm-up
    timing_s: float = 0.2  # how long a speed is measured at least
    none_left_s: float = 10.0  # how long jobs wait while no node is left
