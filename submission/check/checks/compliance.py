"""TEST01 of the closed division: its files, its own performance run, what its two verifications say, and its speed.

Where its answers are not bit for bit the run's own, F1 over the same samples decides instead, from two more files.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from foundation.rules import SCENARIOS
from submission.check import detail_log
from submission.check.checks import accuracy, files, models, performance
from submission.check.checks.requirement import Requirement, equals, is_positive, unmet
from submission.check.failure import Failure, RefusedError, missing
from submission.check.tree import Tree
from submission.rules.layout import DETAIL, Layout
from submission.rules.rounds import (
    MAY_BE_BESIDE,
    MAY_BE_BESIDE_PERFORMANCE,
    PERFORMANCE_FILES,
    TEST01_ACCURACY_DELTA,
    TEST01_ACCURACY_FILES,
    TEST01_FALLBACK_FILES,
    TEST01_LOG_RNG_SEED,
    TEST01_LOG_SAMPLING_TARGET,
    TEST_PASS,
)
from submission.rules.test01_speed import Speed

_TOO_FAR = "TEST01's score must be within 10 % of the run's: run both again on a quiet machine."
_AUDIT = tuple(
    Requirement("test01.audit", key, equals(value), str(value), "Run again with TEST01's audit.config.")
    for key, value in (
        ("effective_accuracy_log_rng_seed", TEST01_LOG_RNG_SEED),
        ("effective_accuracy_log_sampling_target", TEST01_LOG_SAMPLING_TARGET),
    )
)


def check(tree: Tree, where: Layout) -> Iterator[Failure]:
    """The run itself."""
    if where.division == "closed":
        yield from files.listed(tree, where.test01_performance, PERFORMANCE_FILES, MAY_BE_BESIDE_PERFORMANCE)
        log = detail_log.read(tree, where.test01_performance / DETAIL)
        yield from performance.run("test01", log, where)
        yield from unmet(log.path, log.values, _AUDIT)


def verified(tree: Tree, where: Layout) -> Iterator[Failure]:
    """The two verifications, each on its own."""
    if where.division == "closed":
        yield from (missing(path) for path in (where.verify_accuracy, where.verify_performance) if not tree.has(path))
        yield from _same_speed(tree, where)
        yield from _same_answers(tree, where)
        yield from _same_figures(tree, where)


def _same_speed(tree: Tree, where: Layout) -> Iterator[Failure]:
    path = where.verify_performance
    if tree.has(path) and not _passes(tree, path):
        yield Failure(str(path), "test01.performance", f"no line {TEST_PASS}", f"a line {TEST_PASS}", _TOO_FAR)


def _same_figures(tree: Tree, where: Layout) -> Iterator[Failure]:
    """The rule itself, by the two logs: the verification's text may be of other runs."""
    key = SCENARIOS[where.scenario].result_key
    paths = [folder / DETAIL for folder in (where.performance, where.test01_performance)]
    figures = [detail_log.read(tree, path).values.get(key, [None])[0] for path in paths]
    if not all(map(is_positive, figures)):  # the runs' own rules refuse it
        return
    speed = Speed(where.scenario, *figures)
    if not speed.agrees:
        wanted = f"within {speed.delta:.0%} of the run's {speed.reference:g}"
        yield Failure(str(paths[1]), "test01.speed", f"{key} = {speed.test:g}", wanted, _TOO_FAR)


def _same_answers(tree: Tree, where: Layout) -> Iterator[Failure]:
    exact = not tree.has(where.verify_accuracy) or _passes(tree, where.verify_accuracy)
    must = TEST01_ACCURACY_FILES if exact else TEST01_FALLBACK_FILES
    lacking = list(files.listed(tree, where.test01_accuracy, must, MAY_BE_BESIDE))
    yield from lacking
    if not exact and not lacking:
        yield from _close_enough(tree, where)


def _close_enough(tree: Tree, where: Layout) -> Iterator[Failure]:
    ours, theirs = (accuracy.f1(tree, path) for path in (where.baseline_accuracy, where.compliance_accuracy))
    allowed = TEST01_ACCURACY_DELTA[models.benchmark(tree, where, where.model_dir)]
    if not (ours and theirs and 100 * abs(1 - ours / theirs) <= 100 * allowed):
        found = f"F1 {theirs} where the run has {ours}"
        todo = "Batching must not change answers: find out what does."
        path = str(where.compliance_accuracy)
        yield Failure(path, "test01.accuracy", found, f"within {100 * allowed:g} % of each other", todo)


def _passes(tree: Tree, path: PurePosixPath) -> bool:
    """Raises RefusedError for the words within a line, which one checker takes and the other does not."""
    text = tree.text(path)
    passes = TEST_PASS in (line.strip() for line in text.split("\n"))
    if TEST_PASS in text and not passes:
        todo = "Put the verification's own text there."
        raise RefusedError(Failure(str(path), "test01.text", f"{TEST_PASS} within a line", "a line of its own", todo))
    return passes
