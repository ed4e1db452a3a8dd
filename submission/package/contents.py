"""What is in a package, result by result, read from its tree: for the summaries and for `python -m sut show`.

Nothing is judged here (`python -m sut check` does that): what cannot be read is shown as missing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from foundation.rules import SCENARIOS
from submission.check import detail_log
from submission.check.failure import RefusedError
from submission.check.tree import Tree
from submission.rules.layout import DETAIL, Layout
from submission.rules.rounds import DIVISIONS, LATEST, ROUNDS, TEST_PASS, Round

Json = dict[str, Any]


@dataclass(frozen=True)
class Packed:
    """One scenario of one model on one system."""

    where: Layout
    system: Json
    measurements: Json
    log: Json  # the performance log: key → last value
    errors: int  # that LoadGen logged in it
    f1: float | None
    exact_match: float | None
    samples: int | None  # of the accuracy run
    test01: dict[str, bool]  # part → passed; empty where there is none

    @property
    def value(self) -> float | None:
        """LoadGen's figure: samples/s, or a latency in ms."""
        rules = SCENARIOS[self.where.scenario]
        found = self.log.get(rules.result_key)
        return None if found is None else float(found) / rules.divisor


def read(tree: Tree) -> list[Packed]:
    """Every result of the tree, in the order of its paths."""
    found = []
    for division in DIVISIONS:
        for submitter in tree.folders_in(PurePosixPath(division)):
            results = PurePosixPath(division, submitter, "results")
            for system in tree.folders_in(results):
                for model in tree.folders_in(results / system):
                    scenarios = (name for name in tree.folders_in(results / system / model) if name in SCENARIOS)
                    found += [_packed(tree, (division, submitter, system, model, name)) for name in scenarios]
    return found


def _packed(tree: Tree, names: tuple[str, str, str, str, str]) -> Packed:
    where = Layout(ROUNDS[LATEST], *names)
    log, errors = _log(tree, where.performance / DETAIL)
    where = Layout(_round(tree, where, log), *names)
    accuracy, _ = _log(tree, where.accuracy / DETAIL)
    score = _score(tree, where.accuracy_txt)
    return Packed(
        where,
        _json(tree, where.system_json),
        _json(tree, where.measurements),
        log,
        errors,
        score.get("f1"),
        score.get("exact_match"),
        accuracy.get("qsl_reported_total_count"),
        _test01(tree, where),
    )


def _round(tree: Tree, where: Layout, log: Json) -> Round:
    """By the seeds of the run; else the latest whose layout has the measurements where they are."""
    for one in ROUNDS.values():
        if all(log.get(f"effective_{name}") == seed for name, seed in one.seeds._asdict().items()):
            return one
    fitting = [one for one in ROUNDS.values() if tree.has(_with(where, one).measurements_dir / "user.conf")]
    return fitting[-1] if fitting else ROUNDS[LATEST]


def _with(where: Layout, of: Round) -> Layout:
    return Layout(of, where.division, where.submitter, where.system, where.model, where.scenario)


def _log(tree: Tree, path: PurePosixPath) -> tuple[Json, int]:
    try:
        found = detail_log.read(tree, path)
    except RefusedError:
        return {}, 0
    return {key: values[-1] for key, values in found.values.items()}, len(found.errors)


def _json(tree: Tree, path: PurePosixPath) -> Json:
    try:
        return tree.json(path)
    except RefusedError:
        return {}


def _score(tree: Tree, path: PurePosixPath) -> Json:
    try:
        lines = tree.text(path).splitlines()
        found: Json = next((json.loads(line) for line in lines if line.startswith("{")), {})
    except (RefusedError, ValueError):
        return {}
    return found


def _test01(tree: Tree, where: Layout) -> dict[str, bool]:
    found = {}
    for part, path in (("accuracy", where.verify_accuracy), ("performance", where.verify_performance)):
        if tree.has(path):
            found[part] = TEST_PASS in tree.text(path).splitlines()
    if not found.get("accuracy", True) and tree.has(where.baseline_accuracy):
        found["F1 instead"] = True
    return found
