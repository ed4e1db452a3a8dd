"""TEST01's figure beside the performance run's: how far apart they may lie, for the run and for the check."""

from __future__ import annotations

from dataclasses import dataclass

from submission.rules import rounds


@dataclass(frozen=True)
class Speed:
    """Two figures in LoadGen's own unit."""

    scenario: str
    reference: float
    test: float

    @property
    def delta(self) -> float:
        """How far TEST01's may lie from the reference, as a share."""
        short = self.scenario == "SingleStream" and self.reference <= rounds.TEST01_SHORT_LATENCY_NS
        return rounds.TEST01_SHORT_LATENCY_DELTA if short else rounds.TEST01_SCORE_DELTA

    @property
    def agrees(self) -> bool:
        return self.reference * (1 - self.delta) <= self.test <= self.reference * (1 + self.delta)
