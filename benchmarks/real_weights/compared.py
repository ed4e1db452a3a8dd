"""What an engine's answers keep of fp32's: F1, the paired interval of the difference, and how often they differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.real_weights.answers import Answers
from foundation import intervals
from foundation.arrays import Float64


@dataclass(frozen=True, kw_only=True)
class Kept:
    """One engine against fp32, over all models. All but the last two in percent."""

    f1: float
    share: float  # of fp32's F1
    difference: float  # from fp32's F1, the mean over questions
    interval: intervals.Interval  # of the difference, 95 %
    agreement: float  # share of questions with fp32's answer
    error: float  # of the logits, over the deviation of fp32's

    @property
    def row(self) -> tuple[str, ...]:
        """The cells of a table: F1, share, difference, interval, agreement, error."""
        low, high = self.interval
        return (
            f"{self.f1:.2f}",
            f"{self.share:.2f} %",
            f"{self.difference:+.2f}",
            f"{low:+.2f} to {high:+.2f}",
            f"{self.agreement:.1f} %",
            f"{self.error:.4f}",
        )


COLUMNS = ("F1", "of fp32's", "difference", "95 % of it", "fp32's answer", "error of the logits")


def kept(found: Sequence[Answers], fp32: Sequence[Answers]) -> Kept:
    """Compare the answers of one engine with fp32's, model by model.

    A question that several models answered counts once, with the mean of its differences.
    """
    ours, theirs = (_by_question(answers) for answers in (found, fp32))
    differences = [100 * float(np.mean(ours[one]) - np.mean(theirs[one])) for one in ours]
    f1, reference = (100 * float(np.mean([np.mean(one) for one in scores.values()])) for scores in (ours, theirs))
    interval = intervals.of_differences(differences)
    assert interval is not None
    return Kept(
        f1=f1,
        share=100 * f1 / reference,
        difference=float(np.mean(differences)),
        interval=interval,
        agreement=100 * _agreement(found, fp32),
        error=_error(found, fp32),
    )


def _by_question(answers: Sequence[Answers]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for one in answers:
        f1: Float64 = one.score.question_f1
        for question, score in zip(one.score.predictions, f1.tolist(), strict=True):
            found.setdefault(question, []).append(score)
    return found


def _agreement(found: Sequence[Answers], fp32: Sequence[Answers]) -> float:
    pairs = zip(found, fp32, strict=True)
    same = [one.score.predictions[id] == text for one, other in pairs for id, text in other.score.predictions.items()]
    return float(np.mean(same))


def _error(found: Sequence[Answers], fp32: Sequence[Answers]) -> float:
    ours, theirs = (np.concatenate([one.logits for one in answers]) for answers in (found, fp32))
    return float(np.sqrt(np.square(ours - theirs).mean()) / theirs.std())
