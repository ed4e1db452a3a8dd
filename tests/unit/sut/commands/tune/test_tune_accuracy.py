"""Which engines are accurate enough: against a target, or 99 % of fp32, over all samples or the first that fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from accuracy.targets import TARGETS, Target
from sut.commands.tune.accuracy import Judge, text
from sut.commands.tune.space import Candidate, Space
from sut.commands.tune.trials import TrialRow
from sut.record.results import AccuracyResult

F1 = {"fp32": 90.0, "int8": 89.5, "int8-dynamic": 85.0}
ENGINES = {precision: Candidate.of({"backend": "onnxruntime", "precision": precision}) for precision in (*F1, "broken")}
SPACE = Space(engines=tuple(ENGINES.values()), levels=(), scenario="Offline", cores=2, values={}, toml={})


@dataclass
class TableScorer:
    """Accuracies from the table above; `asked` are the runs: precision, target, samples."""

    speeds: Mapping[str, float]
    left_s: float = 100.0
    asked: list[tuple[str, str | None, int | None]] = field(default_factory=list)

    def screened(self, one: Candidate) -> float | None:
        return self.speeds.get(str(one.engine[1]))

    def accuracy(self, one: Candidate, target: str | None, samples: int | None) -> TrialRow:
        precision = str(one.engine[1])
        self.asked.append((precision, target, samples))
        score = F1.get(precision)
        answered = samples or 10_000
        result = score and AccuracyResult(
            metrics={"f1": score}, of_answered=score, samples_answered=answered, total_sample_count=answered
        )
        return TrialRow(
            exit_code=0,
            verdict="SCORED" if score else "FAILED",
            error=None if score else "it broke",
            figures={},
            kind="accuracy",
            settings=one.settings,
            samples=samples,
            given={},
            result=result or None,
            wall_s=1.0,
            log_dir="",
        )


def judge(target: Target | None = None, speeds: Mapping[str, float] | None = None, *, is_random: bool = False) -> Judge:
    scorer = TableScorer(speeds or {"fp32": 1000.0, "int8": 4000.0, "int8-dynamic": 2000.0})
    return Judge(SPACE, scorer, target, 10_000, is_random)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (None, {"fp32": True, "int8": True, "int8-dynamic": False}),
        (TARGETS["bert-99"], {"fp32": True, "int8": False, "int8-dynamic": False}),
        (TARGETS["demo"], {"fp32": True, "int8": False, "int8-dynamic": False}),
    ],
    ids=("fp32", "bert-99", "demo"),
)
def test_an_engine_must_reach_the_target_or_almost_fp32(target: Target | None, expected: dict[str, bool]) -> None:
    found = judge(target)
    assert {precision: found.is_accurate(ENGINES[precision]) for precision in expected} == expected
    assert (found.goal() == 0.99 * 90.0) == (target is None)


def test_each_engine_is_measured_once() -> None:
    found = judge()
    for _ in range(2):
        found.is_accurate(ENGINES["int8"])
    assert isinstance(found.scorer, TableScorer)
    assert [precision for precision, _, _ in found.scorer.asked] == ["int8", "fp32"]


def test_a_failed_run_is_not_accurate_and_random_weights_are_never_scored() -> None:
    assert not judge().is_accurate(ENGINES["broken"])
    random = judge(is_random=True)
    assert random.is_accurate(ENGINES["int8-dynamic"]) and random.found == {}


def test_with_little_time_all_engines_score_the_same_first_samples() -> None:
    found = judge(speeds={"fp32": 10.0, "int8": 40.0})
    assert found.is_accurate(ENGINES["int8"])
    assert isinstance(found.scorer, TableScorer)
    assert found.scorer.asked == [("int8", None, 250), ("fp32", None, 250)]
    assert text(found.found[ENGINES["int8"].engine]) == "F1 89.50 of 250 samples"
    assert "89.10 or more expected" in str(found.shortfall(found.scorer.accuracy(ENGINES["int8-dynamic"], None, 250)))
