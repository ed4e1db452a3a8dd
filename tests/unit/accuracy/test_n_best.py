"""The n-best answers by hand: their order, their probabilities, and that the first is the scorer's answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from squad_by_hand import QUESTIONS, SETTINGS, Case

from accuracy.n_best import NBestAnswer, best_answers
from accuracy.spans import N_BEST_SIZE
from qsl.squad import features_of
from qsl.wordpiece import WordPiece


def answers(case: Case, question: int, logits: list[np.ndarray]) -> list[NBestAnswer]:
    vocabulary = WordPiece(case.vocab)
    features = features_of([case.examples[question]], vocabulary, SETTINGS)
    rows = [logits[sample] for sample in case.samples_of(question)]
    padded = np.full((len(rows), max(map(len, rows)), 2), -10000.0, np.float32)
    for row, values in enumerate(rows):
        padded[row, : len(values)] = values
    return best_answers(padded, case.examples[question], features, vocabulary)


@pytest.mark.parametrize("question", range(len(QUESTIONS)))
def test_the_first_is_what_the_scorer_answers(small: Case, tmp_path: Path, question: int) -> None:
    logits = small.spoken()
    score = small.score(small.write(tmp_path / "log.json", logits))
    assert answers(small, question, logits)[0].text == score.predictions[f"q{question}"]


def test_probabilities_are_the_softmax_of_the_scores(small: Case) -> None:
    found = answers(small, 5, small.spoken())
    assert len(found) == N_BEST_SIZE
    assert len({one.text for one in found}) == len(found)
    weights = np.exp([one.score for one in found])
    np.testing.assert_allclose([one.probability for one in found], weights / weights.sum())
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)


def test_every_window_contributes(small: Case) -> None:
    assert len(small.samples_of(5)) > 1
    logits = small.blank()
    small.say(logits, 5, (1, 1), height=3)  # "night", in the first window
    small.say(logits, 5, (20, 22), height=5)  # in the last
    texts = [one.text for one in answers(small, 5, logits)]
    assert texts[0].endswith("river.") or "near" in texts[0]
    assert "night" in texts
