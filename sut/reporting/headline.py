"""The one figure of a run that people ask for first, its accuracy, and the marks that belong to both."""

from __future__ import annotations

from dataclasses import dataclass

from accuracy.targets import METRICS
from foundation.people_numbers import figure
from sut.record.run_record import RunRecord

TRIAL, RANDOM = "trial run", "random weights"


@dataclass(frozen=True)
class Headline:
    """A figure and where run.json has it, as a JSON pointer."""

    label: str
    value: float
    unit: str
    path: str

    def __str__(self) -> str:
        return f"{self.label} {self.value:.3f}" if self.unit == "%" else f"{figure(self.value)} {self.unit}"


def of(record: RunRecord) -> Headline | None:
    """LoadGen's figure of a performance run, the peak of a search, the accuracy; None without a result."""
    if record.accuracy:
        return accuracy(record)
    result = record.performance or record.peak
    if result is None or result.value is None:
        return None
    return Headline(result.metric, result.value, result.unit, "/result/value")


def accuracy(record: RunRecord) -> Headline | None:
    """The metric that targets refer to, in percent."""
    metrics = record.accuracy.metrics if record.accuracy else {}
    name = next((name for name in METRICS if name in metrics), None)
    return Headline(METRICS[name], metrics[name], "%", f"/result/{name}") if name else None


def marks(record: RunRecord) -> tuple[str, ...]:
    """What a figure of the run must never be shown without."""
    trial, weights = record.config.is_trial, record.random_weights
    return tuple(mark for mark, is_so in ((TRIAL, trial), (RANDOM, weights)) if is_so)
