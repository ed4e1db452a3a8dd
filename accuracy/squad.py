"""SQuAD v1.1's score of a run: logits → spans → text → exact match and F1, to the last digit of the MLPerf reference.

A score covers all questions of the data set, and a question that the run did not answer counts as 0. The coverage is
printed next to it, because "70.0" over ten samples is not an accuracy.

    score = score_log(Path("mlperf_log_accuracy.json"), qsl.squad.SquadDataSet(dataset, vocab, None))
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from accuracy.log import DType, read_logits
from accuracy.metric import best_match
from accuracy.spans import best_features, best_spans
from accuracy.text import NO_ANSWER, join_pieces, passage_text
from foundation import intervals
from foundation.arrays import Bool, Float32, Float64
from foundation.people_numbers import count
from qsl.squad import SquadDataSet, SquadFeatures
from qsl.squad_examples import Example
from qsl.wordpiece import WordPiece


@dataclass(frozen=True, kw_only=True)
class SquadScore:
    """The score of a run over N samples (features) of Q questions."""

    exact_match: float  # percent of all Q questions
    f1: float  # percent of all Q questions
    question_exact_match: Float64 = field(repr=False)  # [Q] 0 or 1; 0 if not answered
    question_f1: Float64 = field(repr=False)  # [Q] 0 to 1; 0 if not answered
    answered: Bool = field(repr=False)  # [Q] True if at least one of the question's samples was answered
    predictions: dict[str, str] = field(repr=False)  # question id → text, of answered questions only
    samples_answered: int
    total_sample_count: int
    duplicates: int = 0  # number of log entries that repeat a sample
    layout: str = ""  # of the log's answers
    repeated_ids: int = 0  # number of questions with the id of an earlier one

    @property
    def metrics(self) -> dict[str, float]:
        """Exact match and F1 in percent of all questions."""
        return {"exact_match": self.exact_match, "f1": self.f1}

    @property
    def is_complete(self) -> bool:
        """True if every sample was answered; only then is the score an accuracy result."""
        return self.samples_answered == self.total_sample_count

    @property
    def questions_answered(self) -> int:
        """The number of questions with an answered sample."""
        return int(self.answered.sum())

    @property
    def f1_of_answered(self) -> float:
        """F1 in percent over the answered questions only; 0 if there are none."""
        return 100.0 * float(self.question_f1[self.answered].mean()) if self.answered.any() else 0.0

    @property
    def of_answered(self) -> float:
        """The F1 of the answered questions, which targets refer to."""
        return self.f1_of_answered

    @property
    def f1_interval(self) -> tuple[float, float]:
        """95 % confidence interval of `f1_of_answered` in percent, (low, high); see `intervals.of_scores`."""
        low, high = intervals.of_scores(self.question_f1[self.answered].tolist())
        return 100.0 * low, 100.0 * high

    @property
    def interval(self) -> tuple[float, float]:
        """That of `of_answered`."""
        return self.f1_interval

    def lines(self) -> list[str]:
        """Coverage and confidence interval as lines of text."""
        low, high = self.f1_interval
        repeated = (
            f"repeated    {count(self.repeated_ids, 'question')} with the id of an earlier one; as in the official"
        )
        return [
            f"answered    {self.samples_answered:,} of {self.total_sample_count:,} samples, "
            f"{self.questions_answered:,} of {len(self.answered):,} questions",
            f"answers     {self.layout}",
            f"F1          {self.f1_of_answered:.3f} over the answered questions, 95 % CI {low:.3f} to {high:.3f}",
            *([f"{repeated} scorer, the last answer counts for all"] if self.repeated_ids else []),
        ]


def score_run(log_file: Path, data: SquadDataSet) -> SquadScore:
    """The score of a run of this package, which logs float32. Raises as `score_log` does."""
    return score_log(log_file, data, dtype="float32")


def score_log(
    log_file: Path, data: SquadDataSet, *, dtype: DType | None = None, transposed: bool = False
) -> SquadScore:
    """Score LoadGen's accuracy log of a run over `data`.

    Args:
        dtype: the type of the logged numbers; None infers it.
        transposed: the logged answers are [2, rows] instead of [rows, 2].

    Raises:
        AccuracyLogError: the log cannot be used, see `accuracy.log.read_logits`.
        DatasetError: the data set or the vocabulary cannot be used, or a question has no answer.
    """
    data.check_scorable()
    logged = read_logits(
        log_file,
        data.features.lengths,
        max_seq_length=data.settings.max_seq_length,
        dtype=dtype,
        transposed=transposed,
    )
    return score_logits(
        logged.logits,
        logged.answered,
        data.examples,
        data.squad_features,
        data.vocabulary,
        duplicates=logged.duplicates,
        layout=str(logged.layout),
    )


def score_logits(
    logits: Float32,
    answered: Bool,
    examples: list[Example],
    features: SquadFeatures,
    vocabulary: WordPiece,
    *,
    duplicates: int = 0,
    layout: str = "",
) -> SquadScore:
    """Score logits in memory.

    Answers are keyed by question id, as in the official scorer: the last of several questions with one id answers all.

    Args:
        logits: start and end logits, float32 [N, S, 2]; `PAD_LOGIT` beyond a sample's true length.
        answered: which samples were answered, bool [N].
        examples: all Q questions, which `features.example_index` refers to.
        vocabulary: of the features.
    """
    texts = _predict(logits, answered, examples, features, vocabulary)
    predictions = {examples[index].id: text for index, text in texts.items()}
    exact, f1 = np.zeros((2, len(examples)))
    for index in texts:
        exact[index], f1[index] = best_match(predictions[examples[index].id], examples[index].answers)
    has_answer = np.zeros(len(examples), np.bool_)
    has_answer[list(texts)] = True
    return SquadScore(
        exact_match=_percent(exact),
        f1=_percent(f1),
        question_exact_match=exact,
        question_f1=f1,
        answered=has_answer,
        predictions=predictions,
        samples_answered=int(answered.sum()),
        total_sample_count=len(answered),
        duplicates=duplicates,
        layout=layout,
        repeated_ids=len(examples) - len({example.id for example in examples}),
    )


def _predict(
    logits: Float32, answered: Bool, examples: list[Example], features: SquadFeatures, vocabulary: WordPiece
) -> dict[int, str]:
    """Example index → text of the answer, for every question with an answered sample."""
    spans = best_spans(logits, features)
    return {
        index: span_text(row, int(spans.start[row]), int(spans.end[row]), examples[index], features, vocabulary)
        if spans.score[row] > -np.inf
        else NO_ANSWER
        for index, row in best_features(spans, answered, features).items()
    }


def span_text(row: int, start: int, end: int, example: Example, features: SquadFeatures, vocabulary: WordPiece) -> str:
    """The text of the passage from token `start` to token `end` of feature `row`, both inclusive."""
    offset = features.features.offsets[row]
    start, end = offset + start, offset + end
    pieces = join_pieces(vocabulary.tokens[i] for i in features.features.input_ids[start : end + 1].tolist())
    words = example.doc_words[features.token_to_word[start] : features.token_to_word[end] + 1]
    return passage_text(pieces, " ".join(words), vocabulary.rules)


def _percent(values: Float64) -> float:
    """100 * mean, summed sequentially as in the reference: numpy's pairwise sum differs in the last digit."""
    return 100.0 * float(np.cumsum(values)[-1]) / len(values)
