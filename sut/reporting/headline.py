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
    over: str = ""  # what it covers, if not all samples

    def __str__(self) -> str:
        shown = f"{self.label} {self.value:.3f}" if self.unit == "%" else f"{figure(self.value)} {self.unit}"
        return f"{shown} {self.over}".rstrip()


def of(record: RunRecord) -> Headline | None:
    """LoadGen's figure of a performance run, the peak of a search, the accuracy; None without a result."""
    if record.accuracy:
        return accuracy(record)
    result = record.performance or record.peak
    if result is None or result.value is None:
        return None
    return Headline(result.metric, result.value, result.unit, "/result/value")


def accuracy(record: RunRecord) -> Headline | None:
    """The metric that targets refer to, in percent; of an incomplete run, over the samples that were answered."""
    result = record.accuracy
    name = next((name for name in METRICS if result and name in result.metrics), None)
    if result is None or name is None:
        return None
    if record.verdict == "INCOMPLETE":
        over = f"over {result.samples_answered:,} of {result.total_sample_count:,} samples"
        return Headline(METRICS[name], result.of_answered, "%", "/result/of_answered", over)
    return Headline(METRICS[name], result.metrics[name], "%", f"/result/{name}")


def marks(record: RunRecord) -> tuple[str, ...]:
    """What a figure of the run must never be shown without."""
    trial, weights = record.config.is_trial, record.random_weights
    return tuple(mark for mark, is_so in ((TRIAL, trial), (RANDOM, weights)) if is_so)
