"""TEST01: compares a performance run that logs answers with the accuracy run (answers) and the performance run (speed).

The official script compares the first number of each answer; here the whole answer is compared, bit for bit. Answers
may differ if rounding depends on the batch; then, as the rules allow, F1 over the samples that TEST01 logged decides.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from accuracy.log import read_entries
from accuracy.squad import SquadScore
from foundation import log_files
from foundation.people_numbers import figure
from foundation.rules import SCENARIOS
from submission.rules import rounds
from submission.rules.test01_speed import SpeedComparison
from submission.submit import workspace
from sut.errors import RunFailedError
from sut.record import detail_log

_BASELINE_LOG = "baseline_log.json"
_FAIL = "TEST FAIL"
AUDIT_CONFIG = f"""# TEST01: a performance run that logs the answers to some of its samples.
*.*.mode = 2
*.*.accuracy_log_rng_seed = {rounds.TEST01_LOG_RNG_SEED}
*.*.accuracy_log_sampling_target = {rounds.TEST01_LOG_SAMPLING_TARGET}
"""


@dataclass(frozen=True)
class AnswerComparison:
    """TEST01's logged answers, compared with the accuracy run's."""

    logged: int  # entries of TEST01's log
    differing: tuple[int, ...]  # qsl_idx of the entries that are not bit-exact
    first_differing: int  # those of them that differ in the first number, which the official script counts
    missing: tuple[int, ...]  # qsl_idx without an answer of the accuracy run
    largest_difference: float  # between two logits

    @property
    def are_equal(self) -> bool:
        return self.logged > 0 and not self.differing and not self.missing


def compare_answers(accuracy_log: Path, test01_log: Path, samples: int) -> AnswerComparison:
    """Compare every entry of TEST01's log with the accuracy run's answer to the same sample.

    Raises:
        AccuracyLogError: one of the logs is missing, broken or empty.
    """
    reference = dict(zip(*_entries(accuracy_log, samples), strict=True))
    indexes, answers = _entries(test01_log, samples)
    differing, missing, first, largest = [], [], 0, 0.0
    for index, answer in zip(indexes, answers, strict=True):
        if index not in reference:
            missing.append(index)
        elif answer != reference[index]:
            differing.append(index)
            first += answer[:4] != reference[index][:4]
            largest = max(largest, _difference(answer, reference[index]))
    return AnswerComparison(len(indexes), tuple(differing), first, tuple(missing), largest)


def _entries(log: Path, samples: int) -> tuple[list[int], list[bytes]]:
    indexes, answers = read_entries(log, samples)
    return indexes.tolist(), answers


def _difference(one: bytes, other: bytes) -> float:
    if len(one) != len(other) or len(one) % 4:
        return float("inf")
    return float(np.abs(np.frombuffer(one, "<f4") - np.frombuffer(other, "<f4")).max(initial=0.0))


def compare_speed(performance: Path, test01: Path, scenario: str) -> SpeedComparison:
    """Compare the figures of two finished runs, given their log directories.

    Raises:
        RunFailedError: one of them is invalid or of another scenario.
    """
    found = []
    for folder in (performance, test01):
        log = detail_log.read(folder)
        verdict, logged = log.values.get("result_validity"), log.values.get("effective_scenario")
        figure = log.number(SCENARIOS[scenario].result_key)
        if verdict != "VALID" or logged != scenario or figure is None:
            raise RunFailedError(f"expected a valid {scenario} run in {folder}, found {logged} that is {verdict}.")
        found.append(figure)
    return SpeedComparison(scenario, *found)


def answers_text(answers: AnswerComparison) -> str:
    """The text of verify_accuracy.txt."""
    lines = [
        "TEST01, accuracy: whole answers, bit for bit, compared with the accuracy run",
        f"answers logged: {answers.logged}",
        f"answers to samples that the accuracy run did not answer: {len(answers.missing)}",
        f"answers that differ: {len(answers.differing)}, of these in their first number: {answers.first_differing}",
    ]
    if answers.differing:
        lines.append(f"largest difference between two logits: {answers.largest_difference:.6g}")
        lines.append(f"first sample that differs: qsl_idx {answers.differing[0]}")
    return "\n".join([*lines, rounds.TEST_PASS if answers.are_equal else _FAIL]) + "\n"


def speed_text(speed: SpeedComparison) -> str:
    """The text of verify_performance.txt."""
    key = SCENARIOS[speed.scenario].result_key
    lines = [
        f"TEST01, performance: {speed.scenario}, {key}",
        f"performance run: {speed.reference}",
        f"TEST01 run: {speed.test}, {speed.test / speed.reference - 1:+.2%}; allowed: {speed.delta:.0%} either way",
    ]
    return "\n".join([*lines, rounds.TEST_PASS if speed.agrees else _FAIL]) + "\n"


def verify(
    folder: Path,
    *,
    accuracy: Path,
    performance: Path,
    scenario: str,
    benchmark: str,
    samples: int,
    score: Callable[[Path], SquadScore],
) -> None:
    """Verify the TEST01 run in `folder` and write there the files that the package needs.

    Args:
        accuracy, performance: log directories of the other two runs of the scenario.
        samples: number of samples of the data set.
        score: scores an accuracy log.

    Raises:
        RunFailedError: TEST01 does not pass; the message has the difference.
    """
    log = folder / log_files.ACCURACY
    answers = compare_answers(accuracy / log_files.ACCURACY, log, samples)
    speed = compare_speed(performance, folder, scenario)
    workspace.write(folder / rounds.VERIFY_ACCURACY, answers_text(answers))
    workspace.write(folder / rounds.VERIFY_PERFORMANCE, speed_text(speed))
    tested = score(log)
    workspace.write(folder / log_files.ACCURACY_TXT, _line(tested))
    if not answers.are_equal:
        _compare_f1(folder, accuracy / log_files.ACCURACY, answers, benchmark, tested, score)
    if not speed.agrees:
        raise RunFailedError(
            f"expected TEST01's {scenario} figure within {speed.delta:.0%} of the performance run's "
            f"{figure(speed.reference)}, found {figure(speed.test)}. "
            f"Type the same command with --resume to repeat TEST01; to repeat the performance "
            f"run too, remove {performance} first."
        )


def _compare_f1(
    folder: Path,
    accuracy_log: Path,
    answers: AnswerComparison,
    benchmark: str,
    tested: SquadScore,
    score: Callable[[Path], SquadScore],
) -> None:
    """Compare F1 over the samples that TEST01 logged, of its answers and of the accuracy run's."""
    if answers.missing:
        raise RunFailedError(
            f"expected an accuracy run that answers every sample of TEST01, found {len(answers.missing)} unanswered."
        )
    baseline = score(_restricted(accuracy_log, folder / log_files.ACCURACY, folder / _BASELINE_LOG))
    workspace.write(folder / rounds.BASELINE, _line(baseline))
    workspace.write(folder / rounds.COMPLIANCE, _line(tested))
    delta, allowed = f1_delta(baseline, tested), rounds.TEST01_ACCURACY_DELTA[benchmark]
    if delta > allowed:
        raise RunFailedError(
            f"expected TEST01's F1 within {allowed:.1%} of the accuracy run's {baseline.f1_of_answered:.4f} over the "
            f"same samples, found {tested.f1_of_answered:.4f} ({delta:.2%}): {len(answers.differing)} of "
            f"{answers.logged} answers differ, by up to {answers.largest_difference:.3g}."
        )


def f1_delta(baseline: SquadScore, tested: SquadScore) -> float:
    """The difference of the two F1 relative to the second, as in the rules; 1 if the second is 0."""
    return abs(1 - baseline.f1_of_answered / tested.f1_of_answered) if tested.f1_of_answered else 1.0


def _restricted(accuracy_log: Path, test01_log: Path, path: Path) -> Path:
    """Write the accuracy run's entries for the samples that TEST01 logged to `path`."""
    logged = {entry["qsl_idx"] for entry in json.loads(test01_log.read_bytes())}
    kept = [entry for entry in json.loads(accuracy_log.read_bytes()) if entry["qsl_idx"] in logged]
    return workspace.write(path, json.dumps(kept))


def _line(score: SquadScore) -> str:
    """The line that the checkers read, over the answered questions only: TEST01 logs part of the samples."""
    exact = 100.0 * float(score.question_exact_match[score.answered].mean()) if score.answered.any() else 0.0
    return json.dumps({"exact_match": exact, "f1": score.f1_of_answered}) + "\n"
