"""What an engine's answers keep of fp32's, by hand; and the models' half of the questions."""

from __future__ import annotations

import numpy as np
import pytest
from paths import ASSETS

from benchmarks.real_weights import answers, compared
from benchmarks.real_weights.folds import Fold
from foundation.arrays import Float32
from qsl import demo
from qsl.squad import SquadDataSet

MODEL = ASSETS / "demo"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> SquadDataSet:
    folder = tmp_path_factory.mktemp("halves")
    demo.write(folder / "second.json", "dev", questions=8)
    return Fold(MODEL, folder / "first.json", folder / "second.json").data(folder / "cache")


def logits(data: SquadDataSet, *, right: int) -> Float32:
    """Logits that point at the passage's first answer token in the first `right` samples, else at its last word."""
    found = np.zeros((data.features.total_tokens, 2), np.float32)
    for row, example in enumerate(data.examples):
        start = int(data.features.offsets[row])
        words = data.squad_features.token_to_word[start : int(data.features.offsets[row + 1])]
        place = np.flatnonzero(words == (example.answer_starts[0] if row < right else words.max()))
        found[start + place[0], 0], found[start + place[-1], 1] = 9, 9
    return found


def test_an_engine_is_compared_question_by_question(data: SquadDataSet) -> None:
    good, bad = (answers.of_logits(data, logits(data, right=right)) for right in (8, 4))
    same, worse = compared.kept([good], [good]), compared.kept([bad, good], [good, good])
    assert (same.share, same.difference, same.interval, same.agreement, same.error) == (100, 0, (0, 0), 100, 0)
    lost = 100 * (good.score.question_f1 - bad.score.question_f1)
    assert worse.difference == pytest.approx(-lost.mean() / 2)  # a question counts once, with the mean of two models
    assert worse.interval.low < worse.difference < worse.interval.high
    assert worse.share == pytest.approx(100 * worse.f1 / same.f1) and worse.f1 < same.f1
    assert worse.agreement == pytest.approx(75)
    assert worse.error > 0


def test_batches_have_each_sample_once(data: SquadDataSet) -> None:
    rows = [row for batch in answers.batches(data.features) for row in batch]
    assert sorted(rows) == list(range(len(data.features)))
