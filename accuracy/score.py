"""The interface that the scores of all tasks share: enough to judge, write and print one without knowing its task."""

from __future__ import annotations

from typing import Protocol


class Score(Protocol):
    """The score of one run, a `SquadScore` or an `Sst2Score`."""

    @property
    def metrics(self) -> dict[str, float]:
        """Each metric in percent over the whole data set, as in accuracy.txt; unanswered samples count as 0."""

    @property
    def predictions(self) -> dict[str, str]:
        """The answers, by question id or sample index."""

    @property
    def samples_answered(self) -> int:
        """The number of samples with an answer."""

    @property
    def total_sample_count(self) -> int:
        """The number of samples in the data set."""

    @property
    def is_complete(self) -> bool:
        """True if every sample was answered; only then is the score an accuracy result."""

    @property
    def of_answered(self) -> float:
        """The metric that targets refer to, in percent over the answered part only; 0 if nothing was answered."""

    @property
    def interval(self) -> tuple[float, float]:
        """95 % confidence interval of `of_answered` in percent, (low, high)."""

    @property
    def duplicates(self) -> int:
        """The number of log entries that repeat a sample."""

    def lines(self) -> list[str]:
        """Coverage and confidence interval as lines of text."""
