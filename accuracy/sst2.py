"""SST-2's score of a run: the share of sentences for which the logit of the correct label is the larger one.

The rules are those of SQuAD: a score covers all sentences of the data set, a sentence that the run did not answer
counts as 0, and the coverage is printed next to the score. Equal logits mean 0 (negative), as in an argmax.

    score = score_log(Path("mlperf_log_accuracy.json"), qsl.sst2.read_labels(Path("dev.tsv")))
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from accuracy.log import DType, read_logits
from foundation import intervals
from foundation.arrays import Bool, Int64
from qsl.sst2 import LABELS, Sst2DataSet

_CHANCE = 50.0  # percent, of two classes
_TURNED = "warning     less than 50 %: are the classes the other way round? The model's id2label says which is which"


@dataclass(frozen=True)
class Sst2Score:
    """The score of a run over N sentences."""

    right: Bool  # [N], False if not answered
    answered: Bool  # [N]
    predictions: dict[str, str] = field(repr=False)  # sample index → negative or positive, of answered samples only
    duplicates: int = 0  # number of log entries that repeat a sample
    dtype: str = ""  # of the log's answers

    @property
    def accuracy(self) -> float:
        """Percent of all N sentences."""
        return 100.0 * int(self.right.sum()) / len(self.right)

    @property
    def metrics(self) -> dict[str, float]:
        """Accuracy in percent of all sentences."""
        return {"accuracy": self.accuracy}

    @property
    def samples_answered(self) -> int:
        """The number of answered sentences."""
        return int(self.answered.sum())

    @property
    def total_sample_count(self) -> int:
        """N."""
        return len(self.answered)

    @property
    def is_complete(self) -> bool:
        """True if every sentence was answered."""
        return self.samples_answered == self.total_sample_count

    @property
    def accuracy_of_answered(self) -> float:
        """Percent of the answered sentences; 0 if there are none."""
        return 100.0 * int(self.right.sum()) / max(1, self.samples_answered)

    @property
    def of_answered(self) -> float:
        """The accuracy of the answered sentences, which targets refer to."""
        return self.accuracy_of_answered

    @property
    def interval(self) -> tuple[float, float]:
        """95 % confidence interval of `accuracy_of_answered` in percent, (low, high), by Wilson's formula."""
        low, high = intervals.of_share(int(self.right.sum()), self.samples_answered)
        return 100.0 * low, 100.0 * high

    def lines(self) -> list[str]:
        """Coverage, confidence interval and, far below chance, its likely cause, as lines of text."""
        low, high = self.interval
        return [
            f"answered    {self.samples_answered:,} of {self.total_sample_count:,} sentences",
            f"answers     {self.dtype}, one row per sentence",
            f"accuracy    {self.accuracy_of_answered:.3f} over the answered sentences, 95 % CI {low:.3f} to {high:.3f}",
            *([_TURNED] if high < _CHANCE else []),
        ]


def score_run(log_file: Path, data: Sst2DataSet) -> Sst2Score:
    """The score of a run of this package, which logs float32. Raises as `score_log` does."""
    return score_log(log_file, data.labels, dtype="float32")


def score_log(log_file: Path, labels: Int64, *, dtype: DType | None = None) -> Sst2Score:
    """Score LoadGen's accuracy log, with answers of [1, 2] each.

    Args:
        labels: of the run's data set, int64 [N].
        dtype: the type of the logged numbers; None infers it.

    Raises:
        AccuracyLogError: the log cannot be used, see `accuracy.log.read_logits`.
    """
    logged = read_logits(log_file, np.ones_like(labels), max_seq_length=1, dtype=dtype)
    return score_logits(
        logged.logits[:, 0], logged.answered, labels, duplicates=logged.duplicates, dtype=logged.layout.dtype
    )


def score_logits(
    logits: npt.NDArray[np.float32],
    answered: Bool,
    labels: Int64,
    *,
    duplicates: int = 0,
    dtype: str = "",
) -> Sst2Score:
    """Score logits in memory: float32 [N, 2]; `answered`, bool [N]; labels, int64 [N]."""
    found = logits.argmax(axis=1)
    predictions = {str(row): LABELS[found[row]] for row in np.flatnonzero(answered).tolist()}
    return Sst2Score((found == labels) & answered, answered, predictions, duplicates, dtype)
