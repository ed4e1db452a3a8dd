"""TEST01's figure against the performance run's: the allowed difference, used by `submit` and by `check`."""

from __future__ import annotations

from dataclasses import dataclass

from submission.rules import rounds


@dataclass(frozen=True)
class SpeedComparison:
    """The figures of a performance run and of its TEST01 run, in LoadGen's unit."""

    scenario: str
    reference: float
    test: float

    @property
    def delta(self) -> float:
        """The allowed relative difference from the reference."""
        short = self.scenario == "SingleStream" and self.reference <= rounds.TEST01_SHORT_LATENCY_NS
        return rounds.TEST01_SHORT_LATENCY_DELTA if short else rounds.TEST01_SCORE_DELTA

    @property
    def agrees(self) -> bool:
        return self.reference * (1 - self.delta) <= self.test <= self.reference * (1 + self.delta)
