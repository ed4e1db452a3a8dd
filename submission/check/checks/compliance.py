"""Checks of TEST01 in the closed division: its files, its performance run, its two verifications and its speed.

If its answers are not bit-exact, F1 over the same samples decides instead, read from two more files.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from foundation.log_files import DETAIL
from foundation.people_numbers import figure
from foundation.rules import SCENARIOS
from submission.check import detail_log
from submission.check.checks import accuracy, files, models, performance
from submission.check.checks.requirement import Requirement, equals, unmet
from submission.check.failure import Failure, RefusedError
from submission.check.tree import Tree
from submission.rules.layout import ResultLayout
from submission.rules.rounds import (
    BASELINE,
    COMPLIANCE,
    OPTIONAL_FILES,
    OPTIONAL_PERFORMANCE_FILES,
    PERFORMANCE_FILES,
    TEST01_ACCURACY_DELTA,
    TEST01_ACCURACY_FILES,
    TEST01_FALLBACK_FILES,
    TEST01_LOG_RNG_SEED,
    TEST01_LOG_SAMPLING_TARGET,
    TEST_PASS,
)
from submission.rules.test01_speed import SpeedComparison

_TOO_FAR = "TEST01's score must be within 10 % of the run's: run both again on a quiet machine."
_DIFFERENT = "Find out why answers differ between two runs: they must not depend on the batch."
_AUDIT = tuple(
    Requirement("test01.audit", key, equals(value), str(value), "Run again with TEST01's audit.config.")
    for key, value in (
        ("effective_accuracy_log_rng_seed", TEST01_LOG_RNG_SEED),
        ("effective_accuracy_log_sampling_target", TEST01_LOG_SAMPLING_TARGET),
    )
)


def check(tree: Tree, layout: ResultLayout) -> Iterator[Failure]:
    """TEST01's own run."""
    if layout.is_closed:
        yield from files.listed(tree, layout.test01_performance, PERFORMANCE_FILES, OPTIONAL_PERFORMANCE_FILES)
        log = detail_log.read(tree, layout.test01_performance / DETAIL)
        yield from performance.run("test01", log, layout)
        yield from unmet(log.path, log.values, _AUDIT)


def check_verifications(tree: Tree, layout: ResultLayout) -> Iterator[Failure]:
    """The two verifications, independently of each other."""
    if layout.is_closed:
        verifications = (layout.verify_accuracy, layout.verify_performance)
        yield from (tree.missing(path) for path in verifications if not tree.has(path))
        yield from _same_speed(tree, layout)
        yield from _same_answers(tree, layout)
        yield from _same_figures(tree, layout)


def _same_speed(tree: Tree, layout: ResultLayout) -> Iterator[Failure]:
    path = layout.verify_performance
    if tree.has(path) and not _passes(tree, path):
        yield Failure(str(path), "test01.performance", f"no line {TEST_PASS}", f"a line {TEST_PASS}", _TOO_FAR)


def _same_figures(tree: Tree, layout: ResultLayout) -> Iterator[Failure]:
    """The rule itself, from the two logs: the text of the verification may belong to other runs."""
    rules = SCENARIOS[layout.scenario]
    key = rules.result_key
    paths = [folder / DETAIL for folder in (layout.performance, layout.test01_performance)]
    figures = [detail_log.read(tree, path).values.get(key, [None])[0] for path in paths]
    if not all(performance.is_result(one, rules) for one in figures):  # the checks of the runs report it
        return
    speed = SpeedComparison(layout.scenario, *figures)
    if not speed.agrees:
        expected = f"within {speed.delta:.0%} of the run's {figure(speed.reference)}"
        yield Failure(str(paths[1]), "test01.speed", f"{key} = {figure(speed.test)}", expected, _TOO_FAR)


def _same_answers(tree: Tree, layout: ResultLayout) -> Iterator[Failure]:
    exact = not tree.has(layout.verify_accuracy) or _passes(tree, layout.verify_accuracy)
    compared = all(map(tree.has, (layout.baseline_accuracy, layout.compliance_accuracy)))
    if not exact and not compared:
        expected = f"a line {TEST_PASS}, or its F1 in {BASELINE} and {COMPLIANCE}"
        yield Failure(str(layout.verify_accuracy), "test01.accuracy", "TEST01 failed", expected, _DIFFERENT)
    must = TEST01_ACCURACY_FILES if exact or not compared else TEST01_FALLBACK_FILES
    lacking = list(files.listed(tree, layout.test01_accuracy, must, OPTIONAL_FILES))
    yield from lacking
    if not exact and compared and not lacking:
        yield from _close_enough(tree, layout)


def _close_enough(tree: Tree, layout: ResultLayout) -> Iterator[Failure]:
    ours, theirs = (accuracy.f1(tree, path) for path in (layout.baseline_accuracy, layout.compliance_accuracy))
    allowed = TEST01_ACCURACY_DELTA[models.benchmark(tree, layout, layout.model_dir)]
    if not (ours and theirs and 100 * abs(1 - ours / theirs) <= 100 * allowed):
        found = f"F1 {theirs}, the accuracy run has {ours}"
        path = str(layout.compliance_accuracy)
        yield Failure(path, "test01.accuracy", found, f"within {100 * allowed:g} % of each other", _DIFFERENT)


def _passes(tree: Tree, path: PurePosixPath) -> bool:
    """Raises RefusedError if the text is only part of a line: one official checker accepts that, the other does not."""
    text = tree.text(path)
    passes = TEST_PASS in (line.strip() for line in text.split("\n"))
    if TEST_PASS in text and not passes:
        todo = "Put the unchanged text of the verification there."
        found = f"{TEST_PASS} as part of a line"
        raise RefusedError(Failure(str(path), "test01.text", found, f"a line {TEST_PASS}", todo))
    return passes
