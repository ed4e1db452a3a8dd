"""Reads the results of a package from its tree, for the summaries and for `python -m sut show`.

Nothing is checked here (that is `python -m sut check`): what cannot be read counts as missing.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from foundation.bounded_readers import UnreadableError, parse_json
from foundation.log_files import DETAIL
from foundation.rules import SCENARIOS
from submission.check import detail_log
from submission.check.checks import documents, models
from submission.check.checks.requirement import is_number
from submission.check.failure import RefusedError
from submission.check.tree import Tree
from submission.rules.layout import ResultLayout
from submission.rules.rounds import CHECKED_DIVISIONS, LATEST, ROUNDS, TEST_PASS, Round

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class PackedResult:
    """One result: a scenario of a model on a system."""

    layout: ResultLayout
    system: Json
    measurements: Json
    log: Json  # the performance log: key → last value
    errors: int  # logged by LoadGen in it
    f1: float | None
    exact_match: float | None
    samples: float | None  # of the accuracy run
    benchmark: str | None  # that the model stands for; None: not known
    test01: dict[str, bool]  # part → passed; empty if there is no TEST01

    @property
    def value(self) -> float | None:
        """LoadGen's figure: samples/s, or a latency in ms."""
        rules = SCENARIOS[self.layout.scenario]
        found = _number(self.log.get(rules.result_key))
        return None if found is None else found / rules.divisor

    @property
    def marks(self) -> list[str]:
        """What a submission says with every figure, such as that it is a trial."""
        found = self.measurements.get("marks")
        return list(map(str, found)) if isinstance(found, list) else []


def read(tree: Tree) -> list[PackedResult]:
    """Every result of the tree, in the order of its paths."""
    found = []
    for division in CHECKED_DIVISIONS:
        for submitter in tree.folders_in(PurePosixPath(division)):
            results = PurePosixPath(division, submitter, "results")
            for system in tree.folders_in(results):
                for model in tree.folders_in(results / system):
                    scenarios = (name for name in tree.folders_in(results / system / model) if name in SCENARIOS)
                    found += [_packed(tree, (division, submitter, system, model, name)) for name in scenarios]
    return found


def _packed(tree: Tree, names: tuple[str, str, str, str, str]) -> PackedResult:
    layout = ResultLayout(ROUNDS[LATEST], *names)
    log, errors = _log(tree, layout.performance / DETAIL)
    layout = ResultLayout(_round(tree, layout, log), *names)
    accuracy, _ = _log(tree, layout.accuracy / DETAIL)
    score = _score(tree, layout.accuracy_txt)
    return PackedResult(
        layout=layout,
        system=_json(tree, layout.system_json),
        measurements=_json(tree, documents.measurements(tree, layout)[0]),
        log=log,
        errors=errors,
        f1=_number(score.get("f1")),
        exact_match=_number(score.get("exact_match")),
        samples=_number(accuracy.get("qsl_reported_total_count")),
        benchmark=_benchmark(tree, layout),
        test01=_test01(tree, layout),
    )


def _benchmark(tree: Tree, layout: ResultLayout) -> str | None:
    with suppress(RefusedError):
        return models.benchmark(tree, layout, layout.model_dir)
    return None


def _round(tree: Tree, layout: ResultLayout, log: Json) -> Round:
    """The round, by the seeds of the run; otherwise the latest round whose layout fits the tree."""
    for one in ROUNDS.values():
        if all(log.get(f"effective_{name}") == seed for name, seed in one.seeds._asdict().items()):
            return one
    fitting = [one for one in ROUNDS.values() if tree.has(_with(layout, one).measurements_dir / "user.conf")]
    return fitting[-1] if fitting else ROUNDS[LATEST]


def _with(layout: ResultLayout, rules: Round) -> ResultLayout:
    return ResultLayout(rules, layout.division, layout.submitter, layout.system, layout.model, layout.scenario)


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
        found = parse_json(next(line for line in lines if line.startswith("{")))
    except (RefusedError, StopIteration, UnreadableError):
        return {}
    return found if isinstance(found, dict) else {}


def _number(value: object) -> float | None:
    return value if is_number(value) else None


def _test01(tree: Tree, layout: ResultLayout) -> dict[str, bool]:
    found = {}
    for part, path in (("accuracy", layout.verify_accuracy), ("performance", layout.verify_performance)):
        with suppress(RefusedError):
            found[part] = TEST_PASS in tree.text(path).splitlines()
    if not found.get("accuracy", True) and tree.has(layout.baseline_accuracy):
        found["F1 instead"] = True
    return found
