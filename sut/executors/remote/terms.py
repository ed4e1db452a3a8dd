"""How nodes are warmed up, and how long they may take to answer.

A frozen machine raises nothing by itself, so each job has a deadline, which follows from the speed at warm-up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from foundation.arrays import Float32, Int64
from sut.executors.base import Job, Ready
from sut.nodes.errors import ProtocolError
from sut.nodes.messages import InstanceSpeed

_BATCHES = 20  # times the time of a batch
_LEAST_S, _LEAST_WARM_UP_S = 5.0, 120.0  # an engine may compile or tune for a new shape at warm-up


def deadline_s(batch_s: float, asked_s: float | None) -> float:
    """How long a job may take on a node, given the time of a full batch there."""
    return asked_s or max(_LEAST_S, _BATCHES * batch_s)


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a run wants of all its nodes."""

    rows: Int64  # of each sample's output, by index
    shapes: Sequence[tuple[int, int]]  # (samples, tokens each) of warm-up batches; the last one is timed
    steps: int  # how often each is run on each instance
    batch_tokens: int  # of the largest batch
    patience_s: float | None  # for any answer; None: as the speed says
    timing_s: float = 0.2  # how long a speed is measured at least
    none_left_s: float = 10.0  # how long jobs wait while no node is left

    def check(self, job: Job, outputs: Float32) -> None:
        """Raises ProtocolError if these cannot be the outputs of a job."""
        if job.tokens is not None:  # of the warm-up
            return
        expected = int(self.rows[job.indexes].sum())
        if len(outputs) != expected:
            raise ProtocolError(f"expected {expected} rows for a batch, found {len(outputs)}")

    def deadline_s(self, speed: Ready) -> float:
        """How long a job may take on instances of this speed."""
        return deadline_s(speed.batch_s + speed.token_s * self.batch_tokens, self.patience_s)

    def warm_up_s(self, own: Sequence[InstanceSpeed]) -> float:
        """The same at warm-up, given the speeds that the node has measured itself."""
        slowest_s = max(one.batch_s + one.token_s * self.batch_tokens for one in own)
        return self.patience_s or max(_LEAST_WARM_UP_S, _BATCHES * slowest_s)
