"""Whether an engine is accurate enough, measured once for each: against --target, the task's own target, or fp32.

Without a target that applies to the model and its data, an engine must keep 99 % of what fp32 reaches on the same
samples, as MLPerf's bert-99 does of its reference.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from accuracy.targets import METRICS, Target
from backends import BACKENDS
from sut.commands.sweep.grid import Value
from sut.commands.tune.space import Candidate, Space
from sut.commands.tune.trials import TrialRow
from sut.record.results import AccuracyResult

KEPT = 0.99  # of fp32's accuracy
_FP32 = "fp32"
_TIME = 0.25  # share of the time left that a run may take; a longer one scores the first samples only
_LEAST_SAMPLES = 100

Engine = tuple[Value, Value]


class Scorer(Protocol):
    """What the accuracy is measured with: the trials of a tuning."""

    @property
    def left_s(self) -> float:
        """Time left."""

    def screened(self, one: Candidate) -> float | None:
        """The speed of a candidate's first trial; None without one."""

    def accuracy(self, one: Candidate, target: str | None, samples: int | None) -> TrialRow:
        """An accuracy run over the first `samples` samples, or all."""


@dataclass
class Judge:
    """Measures and remembers the accuracy of engines."""

    space: Space
    scorer: Scorer
    target: Target | None  # None: fp32 decides
    samples: int  # of the data set
    is_random: bool
    found: dict[Engine, TrialRow] = field(default_factory=dict)

    def is_accurate(self, one: Candidate) -> bool:
        """Whether the candidate's engine reaches the accuracy."""
        if self.is_random or not BACKENDS[str(one.engine[0])].answers_count:
            return True
        return self.measure(one) is not None and not self.shortfall(self.found[one.engine])

    def shortfall(self, row: TrialRow) -> str | None:
        """How the accuracy of a run misses the goal, as text; None if it does not."""
        goal, result = self.goal(), row.result
        if goal is None or not isinstance(result, AccuracyResult) or result.of_answered >= goal:
            return None
        return f"{text(row)}, {goal:.2f} or more expected"

    def goal(self) -> float | None:
        """The least accuracy in percent; None: nothing to compare with."""
        if self.target is not None:
            return self.target.value
        fp32 = self._fp32()
        reference = self.measure(fp32) if fp32 else None
        return None if reference is None else KEPT * reference.of_answered

    def measure(self, one: Candidate) -> AccuracyResult | None:
        """The accuracy of its engine; None if the run failed."""
        if one.engine not in self.found:
            self.found[one.engine] = self.scorer.accuracy(
                one, self.target.name if self.target else None, self._fitting(one)
            )
        result = self.found[one.engine].result
        return result if isinstance(result, AccuracyResult) else None

    def _fp32(self) -> Candidate | None:
        """The fastest fp32 engine that was tried; None without one."""
        tried = [one for one in self.space.engines if one.engine[1] == _FP32 and self.scorer.screened(one)]
        return max(tried, key=lambda one: self.scorer.screened(one) or 0.0, default=None)

    def _fitting(self, one: Candidate) -> int | None:
        """The samples that fit into the time; None: all. As many for each engine that is compared with fp32."""
        if self.target is None and self.found:
            return next(iter(self.found.values())).samples
        slowest = (self._fp32() or one) if self.target is None else one
        fitting = max(_LEAST_SAMPLES, int(_TIME * self.scorer.left_s * (self.scorer.screened(slowest) or 1.0)))
        return None if fitting >= self.samples else fitting


def texts(rows: Iterable[TrialRow]) -> dict[Engine, str]:
    """Each engine that was measured → its accuracy; see `text`."""
    return {(row.settings["backend"], row.settings["precision"]): text(row) for row in rows if row.kind == "accuracy"}


def text(row: TrialRow) -> str:
    """Such as "F1 99.16" or "F1 98.20 of 500 samples"; "" without a score."""
    result = row.result
    if not isinstance(result, AccuracyResult):
        return ""
    of = "" if row.samples is None else f" of {result.samples_answered:,} samples"
    name = next((METRICS[one] for one in result.metrics if one in METRICS), "accuracy")
    return f"{name} {result.of_answered:.2f}{of}"
