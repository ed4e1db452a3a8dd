"""What an engine's answers keep of fp32's, by hand; and the models' half of the questions."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np
import pytest
from paths import ASSETS

from benchmarks.real_weights import __main__ as real_weights
from benchmarks.real_weights import answers, compared, folds
from benchmarks.real_weights.folds import Fold
from foundation.arrays import Float32
from qsl import demo
from qsl.squad import SquadDataSet
from sut.machine import facts as machine_facts

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


def test_models_that_are_there_are_not_trained_again(tmp_path: Path) -> None:
    demo.write(tmp_path / "dev.json", "dev", questions=8)
    for half in folds.HALVES:
        shutil.copytree(MODEL, tmp_path / "fp32-seed-3" / f"trained-on-{half}")
    shutil.copytree(MODEL, tmp_path / "fp32-seed-3" / "trained-on-second-pruned")
    made = [
        [(one.trained_on.name, one.made_by) for one in folds.made(MODEL, file, [3], halves, tmp_path, 1, recipes)]
        for file in [tmp_path / "dev.json"]
        for halves, recipes in ((folds.HALVES, ()), (("second",), ("pruned",)))
    ]
    assert made == [
        [("first.json", "fine-tuned"), ("second.json", "fine-tuned")],
        [("second.json", "fine-tuned"), ("second.json", "pruned")],
    ]


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_models_of_two_precisions_do_not_mix(tmp_path: Path, precision: str) -> None:
    demo.write(tmp_path / "dev.json", "dev", questions=8)
    for one in ("bf16", "fp32"):
        shutil.copytree(MODEL, tmp_path / f"{one}-seed-3" / "trained-on-first")
    parser = argparse.ArgumentParser()
    real_weights.add_flags(parser)
    files = ["--model", str(MODEL), "--dataset", str(tmp_path / "dev.json"), "--folder", str(tmp_path)]
    options = parser.parse_args([*files, "--seeds=3", "--halves=first", f"--fine-tune-in={precision}"])
    found = [one.model.relative_to(tmp_path).parts[0] for one in real_weights.made_of(options)]
    assert found == [f"{precision}-seed-3"]


@pytest.mark.parametrize(("commit", "kept"), [("abc", True), ("abc-dirty", False)])
def test_answers_are_kept_for_code_that_a_commit_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, commit: str, kept: bool
) -> None:
    monkeypatch.setattr(machine_facts, "commit", lambda: commit)
    demo.write(tmp_path / "second.json", "dev", questions=2)
    shutil.copy(tmp_path / "second.json", tmp_path / "first.json")
    fold = Fold(shutil.copytree(MODEL, tmp_path / "model"), tmp_path / "first.json", tmp_path / "second.json")
    first = answers.of_engine(fold, "onnxruntime", "fp32", tmp_path / "cache", threads=1)
    for path in (tmp_path / "model-answers").glob("*"):
        np.save(path, first.logits + 1)
    second = answers.of_engine(fold, "onnxruntime", "fp32", tmp_path / "cache", threads=1)
    np.testing.assert_array_equal(second.logits, first.logits + kept)
