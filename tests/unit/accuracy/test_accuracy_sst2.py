"""SST-2's score from LoadGen's log: by hand, partial, with duplicates, and of logs of other runs."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from accuracy.__main__ import main
from accuracy.log import AccuracyLogError
from accuracy.sst2 import Sst2Score, score_log
from accuracy.targets import UnknownTargetError, target
from foundation import intervals
from qsl.sst2 import read_labels

LABELS = [1, 0, 1, 1, 0]
LOGITS = [(-1.0, 2.0), (3.0, -3.0), (0.5, 0.4), (0.0, 0.1), (1.0, 1.0)]  # right, right, wrong, right, right: a tie is 0


def percent(right: int, of: int) -> tuple[float, float]:
    low, high = intervals.of_share(right, of)
    return 100 * low, 100 * high


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    path = tmp_path / "dev.tsv"
    rows = [f"sentence {row}\t{label}" for row, label in enumerate(LABELS)]
    path.write_text("\n".join(["sentence\tlabel", *rows]) + "\n", encoding="utf-8")
    return path


def write_log(path: Path, entries: Sequence[tuple[int, tuple[float, ...]]], dtype: str = "<f4") -> Path:
    log = [
        {"seq_id": seq, "qsl_idx": index, "data": np.asarray(values, dtype).tobytes().hex().upper()}
        for seq, (index, values) in enumerate(entries)
    ]
    path.write_text(json.dumps(log), encoding="utf-8")
    return path


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """In another order than the data set, as LoadGen logs."""
    return write_log(tmp_path / "mlperf_log_accuracy.json", [(row, LOGITS[row]) for row in (3, 0, 4, 1, 2)])


@pytest.mark.parametrize("dtype", ["<f4", "<f2"])
def test_a_score_by_hand(tmp_path: Path, dataset: Path, dtype: str) -> None:
    score = score_log(write_log(tmp_path / "log.json", list(enumerate(LOGITS)), dtype), read_labels(dataset))
    assert score.metrics == {"accuracy": 80.0}
    assert score.right.tolist() == [True, True, False, True, True]
    assert [score.predictions[row][:3] for row in "01234"] == ["pos", "neg", "neg", "pos", "neg"]
    assert score.is_complete
    assert score.interval == percent(4, 5)


def test_missing_samples_count_0_and_are_reported(tmp_path: Path, dataset: Path) -> None:
    score = score_log(write_log(tmp_path / "log.json", [(0, LOGITS[0]), (2, LOGITS[2])]), read_labels(dataset))
    assert (score.accuracy, score.accuracy_of_answered) == (20.0, 50.0)
    assert (score.samples_answered, score.total_sample_count, score.is_complete) == (2, 5, False)
    assert score.interval == percent(1, 2)
    assert set(score.predictions) == {"0", "2"}


def test_the_last_of_two_entries_counts(tmp_path: Path, dataset: Path) -> None:
    entries = [*enumerate(LOGITS), (2, (0.0, 1.0))]
    score = score_log(write_log(tmp_path / "log.json", entries), read_labels(dataset))
    assert (score.accuracy, score.duplicates) == (100.0, 1)


@pytest.mark.parametrize(("right", "is_named"), [(0, True), (1, True), (4, False), (10, False)])
def test_far_below_chance_its_likely_cause_is_named(right: int, is_named: bool) -> None:
    score = Sst2Score(np.arange(10) < right, np.ones(10, bool), {})
    assert ("other way round" in "\n".join(score.lines())) is is_named


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([(5, LOGITS[0])], "0 to 4"),
        ([(0, (1.0, 2.0, 3.0))], "found 12"),
        ([(0, LOGITS[0]), (1, (1.0,) * 8)], "found 32"),
        ([(0, (float("nan"), 0.0))], "finite"),
    ],
    ids=["outside", "three numbers", "a row a token", "nan"],
)
def test_a_log_of_another_run_is_an_error_and_not_a_low_score(
    tmp_path: Path, dataset: Path, entries: Sequence[tuple[int, tuple[float, ...]]], words: str
) -> None:
    with pytest.raises(AccuracyLogError, match=words):
        score_log(write_log(tmp_path / "log.json", entries), read_labels(dataset))


def test_the_command(dataset: Path, log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--task", "sst2", "--log-file", str(log), "--dataset", str(dataset)]
    predictions = tmp_path / "predictions.json"
    assert main([*flags, "--target", "79.9", "--predictions", str(predictions)]) == 0
    first, *rest = capsys.readouterr().out.splitlines()
    assert first == '{"accuracy": 80.0}'
    assert (log.parent / "accuracy.txt").read_text() == first + "\n"
    assert "5 of 5 sentences" in rest[0]
    assert re.search(r"^PASS .*accuracy 80\.00000", "\n".join(rest), re.MULTILINE)
    assert json.loads(predictions.read_text())["0"] == "positive"
    assert main([*flags, "--target", "demo-sst2"]) == 1


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--target", "bert-99"), "demo-sst2"),
        (("--dataset", "gone.tsv"), "gone.tsv"),
        (("--task", "squad"), "--vocab"),
    ],
)
def test_misuse_is_one_error(
    dataset: Path, log: Path, capsys: pytest.CaptureFixture[str], flags: tuple[str, ...], words: str
) -> None:
    assert main(["--task", "sst2", "--log-file", str(log), "--dataset", str(dataset), *flags]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and words in error and error.count("\n") == 1


def test_a_target_belongs_to_a_metric() -> None:
    assert target("demo-sst2", "accuracy").is_met(90.0)
    assert target("91.5", "accuracy").metric == "accuracy"
    with pytest.raises(UnknownTargetError, match="bert-99"):
        target("demo-sst2")
