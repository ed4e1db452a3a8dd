"""All checks of one tree, and the verdict.

A check that cannot read a file ends with that one failure and the others continue; a failure found twice counts once.
The rules on length and counts are waived for a package that is marked as a trial, and the verdict lists them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from foundation.rules import SCENARIOS
from submission.check.checks import (
    accuracy,
    compliance,
    documents,
    files,
    models,
    names,
    network,
    performance,
    report,
    systems,
)
from submission.check.failure import Failure, RefusedError
from submission.check.tree import Tree
from submission.rules.layout import ResultLayout, SubmitterLayout
from submission.rules.rounds import CHECKED_DIVISIONS, TRIAL_MARKER, WAIVED_IN_TRIALS, Round

_OF_A_SUBMITTER: tuple[Callable[[Tree, SubmitterLayout], Iterator[Failure]], ...] = (
    names.submitter,
    systems.check,
    documents.submitter,
    network.submitter,
)
_OF_A_RESULT: tuple[Callable[[Tree, ResultLayout], Iterator[Failure]], ...] = (
    files.check,
    documents.check,
    performance.check,
    accuracy.check,
    accuracy.check_accuracy_txt,
    compliance.check,
    compliance.check_verifications,
    network.check,
)


@dataclass(frozen=True)
class Verdict:
    """What was checked, the failures, the failures that are waived for a trial, and what no checker refuses."""

    round: str
    results: tuple[str, ...]  # the scenario directories
    failures: tuple[Failure, ...]
    waived: tuple[Failure, ...]
    is_trial: bool
    warnings: tuple[Failure, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether there are no failures. A trial that holds is still not a submission."""
        return not self.failures


def examine(tree: Tree, rules: Round, *, as_trial: bool = False, ignore_marker: bool = False) -> Verdict:
    """Check a tree by the rules of a round.

    Args:
        as_trial: waive the rules on length and counts in the open division.
        ignore_marker: do not waive them for a tree that is marked as a trial.
    """
    marked = tree.has(PurePosixPath(TRIAL_MARKER)) and not ignore_marker
    is_trial = as_trial or marked
    found = list(dict.fromkeys(_failures(tree, rules)))
    waived = tuple(one for one in found if is_trial and _may_be_waived(one))
    kept = tuple(one for one in found if not (is_trial and _may_be_waived(one)))
    results = _results(tree, rules)
    warnings = dict.fromkeys(one for result in results for one in _until_refused(report.check(tree, result)))
    return Verdict(
        rules.name,
        tuple(str(one.scenario_dir) for one in results),
        kept,
        waived,
        is_trial,
        tuple(one for one in warnings if one not in found),
    )


def _may_be_waived(failure: Failure) -> bool:
    return failure.rule in WAIVED_IN_TRIALS and PurePosixPath(failure.file).parts[0] == "open"


def _failures(tree: Tree, rules: Round) -> Iterator[Failure]:
    yield from names.check(tree)
    yield from names.has_results(tree, len(_results(tree, rules)))
    for layout in _submitters(tree, rules):
        for check in _OF_A_SUBMITTER:
            yield from _until_refused(check(tree, layout))
        for system in tree.folders_in(layout.results):
            yield from _until_refused(systems.description(tree, layout, system))
            for model in tree.folders_in(layout.results / system):
                yield from _until_refused(models.check(tree, layout, layout.results / system / model))
    for result in _results(tree, rules):
        for of_result in _OF_A_RESULT:
            yield from _until_refused(of_result(tree, result))


def _until_refused(found: Iterable[Failure]) -> Iterator[Failure]:
    try:
        yield from found
    except RefusedError as error:
        yield error.failure


def _submitters(tree: Tree, rules: Round) -> list[SubmitterLayout]:
    return [
        SubmitterLayout(rules, division, name)
        for division in CHECKED_DIVISIONS
        for name in tree.folders_in(PurePosixPath(division))
    ]


def _results(tree: Tree, rules: Round) -> list[ResultLayout]:
    """Every directory with the name of a scenario; `models` refuses other names."""
    return [
        ResultLayout(rules, layout.division, layout.submitter, system, model, scenario)
        for layout in _submitters(tree, rules)
        for system in tree.folders_in(layout.results)
        for model in tree.folders_in(layout.results / system)
        for scenario in tree.folders_in(layout.results / system / model)
        if scenario in SCENARIOS
    ]
