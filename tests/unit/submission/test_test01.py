"""TEST01's verification, on logs whose answers are worked out by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from accuracy.squad import SquadScore
from foundation.log_files import ACCURACY_TXT
from submission.rules import rounds
from submission.rules.test01_speed import SpeedComparison
from submission.submit import test01
from submission.submit.test01 import AnswerComparison, answers_text, compare_answers, compare_speed, speed_text, verify
from sut.errors import RunFailedError

ANSWERS = [[1.0, 2.0], [3.0, 4.0, 5.0, 6.0], [7.0, 8.0]]


def write_log(path: Path, entries: list[tuple[int, list[float]]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    hexes = [(index, np.asarray(values, "<f4").tobytes().hex().upper()) for index, values in entries]
    rows = [{"seq_id": number, "qsl_idx": index, "data": data} for number, (index, data) in enumerate(hexes)]
    path.write_text(json.dumps(rows))
    return path


@pytest.fixture
def baseline(tmp_path: Path) -> Path:
    return write_log(tmp_path / "accuracy" / "mlperf_log_accuracy.json", list(enumerate(ANSWERS)))


def compared(baseline: Path, entries: list[tuple[int, list[float]]]) -> AnswerComparison:
    return compare_answers(baseline, write_log(baseline.parent / "test01.json", entries), samples=4)


def test_equal_answers_pass_in_any_order_and_number(baseline: Path) -> None:
    found = compared(baseline, [(2, ANSWERS[2]), (0, ANSWERS[0]), (2, ANSWERS[2])])
    assert found == AnswerComparison(3, (), 0, (), 0.0)
    assert answers_text(found).splitlines()[-1] == "TEST PASS"


def test_one_answer_that_differs_fails_with_the_difference(baseline: Path) -> None:
    found = compared(baseline, [(0, ANSWERS[0]), (1, [3.5, 4.0, 5.0, 6.0])])
    assert found == AnswerComparison(2, (1,), 1, (), 0.5)
    text = answers_text(found)
    assert text.splitlines()[-1] == "TEST FAIL" and "answers that differ: 1" in text and "qsl_idx 1" in text


def test_a_difference_behind_the_first_number_fails_too(baseline: Path) -> None:
    found = compared(baseline, [(1, [3.0, 4.0, 5.0, 6.25])])
    assert found == AnswerComparison(1, (1,), 0, (), 0.25)
    assert not found.are_equal


def test_an_answer_of_another_length_differs(baseline: Path) -> None:
    found = compared(baseline, [(1, [3.0, 4.0])])
    assert found.differing == (1,) and found.largest_difference == float("inf")


def test_a_sample_that_the_accuracy_run_did_not_answer_fails(baseline: Path) -> None:
    found = compared(baseline, [(0, ANSWERS[0]), (3, [1.0, 1.0])])
    assert found.missing == (3,) and not found.are_equal
    assert answers_text(found).splitlines()[-1] == "TEST FAIL"


def write_detail(folder: Path, key: str, value: float, *, scenario: str, validity: str = "VALID") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    values = {"effective_scenario": scenario, "result_validity": validity, key: value, "power_end": "now"}
    lines = [json.dumps({"key": name, "value": one, "metadata": {"is_error": False}}) for name, one in values.items()]
    (folder / "mlperf_log_detail.txt").write_text("".join(f":::MLLOG {line}\n" for line in lines))
    return folder


OFFLINE, STREAM = "result_samples_per_second", "early_stopping_latency_ss"


@pytest.mark.parametrize(
    ("scenario", "key", "reference", "test", "passes"),
    [
        ("Offline", OFFLINE, 100.0, 90.0, True),
        ("Offline", OFFLINE, 100.0, 89.9, False),
        ("Offline", OFFLINE, 100.0, 110.0, True),
        ("Offline", OFFLINE, 100.0, 110.2, False),
        ("SingleStream", STREAM, 1_000_000, 1_099_000, True),
        ("SingleStream", STREAM, 1_000_000, 1_150_000, False),
        ("SingleStream", STREAM, 200_000, 239_000, True),
        ("SingleStream", STREAM, 200_000, 241_000, False),
    ],
)
def test_speed_may_differ_by_ten_percent_either_way(
    tmp_path: Path, scenario: str, key: str, reference: float, test: float, passes: bool
) -> None:
    one = write_detail(tmp_path / "performance", key, reference, scenario=scenario)
    other = write_detail(tmp_path / "test01", key, test, scenario=scenario)
    found = compare_speed(one, other, scenario)
    assert found == SpeedComparison(scenario, reference, test) and found.agrees is passes
    assert speed_text(found).splitlines()[-1] == ("TEST PASS" if passes else "TEST FAIL")


@pytest.mark.parametrize("bad", [{"scenario": "Offline", "validity": "INVALID"}, {"scenario": "Server"}])
def test_a_run_that_is_invalid_or_of_another_scenario_cannot_be_compared(tmp_path: Path, bad: dict[str, str]) -> None:
    one = write_detail(tmp_path / "performance", OFFLINE, 100.0, scenario="Offline")
    other = write_detail(tmp_path / "test01", OFFLINE, 100.0, **bad)
    with pytest.raises(RunFailedError, match="expected a valid Offline run"):
        compare_speed(one, other, "Offline")


def score(f1: float) -> SquadScore:
    """Of four questions, two answered, both as well as `f1` in percent."""
    answered = np.array([True, True, False, False])
    per_question = np.where(answered, f1 / 100, 0.0)
    return SquadScore(
        exact_match=f1 / 2,
        f1=f1 / 2,
        question_exact_match=per_question,
        question_f1=per_question,
        answered=answered,
        predictions={},
        samples_answered=2,
        total_sample_count=4,
    )


Verify = Callable[..., Path]


@pytest.fixture
def verified(tmp_path: Path, baseline: Path) -> Verify:
    """Verifies a TEST01 run with these answers and this F1, compared with the accuracy run's over the same samples."""

    def run(answers: list[list[float]], f1: float, benchmark: str = "bert-99", speed: float = 100.0) -> Path:
        performance = write_detail(tmp_path / "performance", OFFLINE, 100.0, scenario="Offline")
        folder = write_detail(tmp_path / "test01", OFFLINE, speed, scenario="Offline")
        write_log(folder / "mlperf_log_accuracy.json", list(enumerate(answers)))
        verify(
            folder,
            accuracy=baseline.parent,
            performance=performance,
            scenario="Offline",
            benchmark=benchmark,
            samples=4,
            score=lambda log: score(90.0 if log.name == "baseline_log.json" else f1),
        )
        return folder

    return run


def test_equal_answers_need_no_other_proof(verified: Verify) -> None:
    folder = verified(ANSWERS[:2], 90.0)
    assert (folder / rounds.VERIFY_ACCURACY).read_text().endswith("TEST PASS\n")
    assert (folder / rounds.VERIFY_PERFORMANCE).read_text().endswith("TEST PASS\n")
    assert json.loads((folder / ACCURACY_TXT).read_text())["f1"] == pytest.approx(90.0)
    assert not (folder / rounds.BASELINE).exists()


@pytest.mark.parametrize(("f1", "benchmark"), [(89.2, "bert-99"), (90.8, "bert-99"), (89.95, "bert-99.9")])
def test_f1_takes_the_place_of_equal_answers(verified: Verify, f1: float, benchmark: str) -> None:
    folder = verified([[1.5, 2.0], ANSWERS[1]], f1, benchmark)
    assert (folder / rounds.VERIFY_ACCURACY).read_text().endswith("TEST FAIL\n")
    assert json.loads((folder / rounds.BASELINE).read_text())["f1"] == pytest.approx(90.0)
    assert json.loads((folder / rounds.COMPLIANCE).read_text())["f1"] == pytest.approx(f1)
    kept = json.loads((folder / "baseline_log.json").read_text())
    assert [entry["qsl_idx"] for entry in kept] == [0, 1]


@pytest.mark.parametrize(("f1", "benchmark"), [(89.0, "bert-99"), (89.8, "bert-99.9"), (0.0, "bert-99")])
def test_an_f1_too_far_away_fails_with_the_difference(verified: Verify, f1: float, benchmark: str) -> None:
    with pytest.raises(RunFailedError, match=r"1 of 2 answers differ, by up to 0\.5"):
        verified([[1.5, 2.0], ANSWERS[1]], f1, benchmark)


def test_a_missing_sample_fails_without_a_fallback(verified: Verify) -> None:
    with pytest.raises(RunFailedError, match="1 unanswered"):
        verified([*ANSWERS, [0.0, 0.0]], 90.0)


def test_a_run_that_is_slower_fails(verified: Verify) -> None:
    with pytest.raises(RunFailedError, match="within 10%"):
        verified(ANSWERS[:2], 90.0, speed=80.0)


def test_the_audit_config_is_the_rules_own() -> None:
    lines = [line.split(" = ") for line in test01.AUDIT_CONFIG.splitlines() if not line.startswith("#")]
    assert {key.removeprefix("*.*."): int(value) for key, value in lines} == {
        "mode": 2,
        "accuracy_log_rng_seed": 720381539243781796,
        "accuracy_log_sampling_target": 4096,
    }
