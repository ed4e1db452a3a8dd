"""How nodes are warmed up, and how long they may take to answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from foundation.arrays import Int64
from sut.executors.base import Ready
from sut.executors.fleet import deadlines
from sut.executors.fleet.executor import NONE_LEFT_S
from sut.nodes.messages import InstanceSpeed

_LEAST_WARM_UP_S = 120.0  # an engine may compile or tune for a new shape at warm-up


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a run wants of all its nodes."""

    rows: Int64  # of each sample's output, by index
    shapes: Sequence[tuple[int, int]]  # (samples, tokens each) of warm-up batches; the last one is timed
    steps: int  # how often each is run on each instance
    batch_tokens: int  # of the largest batch
    patience_s: float | None  # for any answer; None: as the speed says
    timing_s: float = 0.2  # how long a speed is measured at least
    none_left_s: float = NONE_LEFT_S

    def deadline_s(self, speed: Ready) -> float:
        """How long a job may take on instances of this speed."""
        return deadlines.deadline_s(speed.batch_s + speed.token_s * self.batch_tokens, self.patience_s)

    def warm_up_s(self, own: Sequence[InstanceSpeed]) -> float:
        """The same at warm-up, given the speeds that the node has measured itself."""
        slowest_s = max(one.batch_s + one.token_s * self.batch_tokens for one in own)
        return self.patience_s or max(_LEAST_WARM_UP_S, deadlines.BATCHES * slowest_s)
