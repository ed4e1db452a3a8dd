"""All checks over one tree, and what they come to.

A check that cannot read what it needs ends with that one failure and the others go on; the same failure found twice
counts once. A package that says it is a trial is let off the rules on length and counts, and the verdict says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from foundation.rules import SCENARIOS
from submission.check.checks import accuracy, compliance, documents, files, models, names, performance, systems
from submission.check.failure import Failure, RefusedError
from submission.check.tree import Tree
from submission.rules.layout import Layout, Submitter
from submission.rules.rounds import DIVISIONS, TRIAL_MARKER, WAIVED_IN_TRIALS, Round

_OF_A_SUBMITTER: tuple[Callable[[Tree, Submitter], Iterator[Failure]], ...] = (
    names.submitter,
    systems.check,
    documents.submitter,
)
_OF_A_RESULT: tuple[Callable[[Tree, Layout], Iterator[Failure]], ...] = (
    files.check,
    documents.check,
    performance.check,
    accuracy.check,
    accuracy.said,
    compliance.check,
    compliance.verified,
)


@dataclass(frozen=True)
class Verdict:
    """What was checked, what must be put right, and what a trial was let off."""

    round: str
    results: tuple[str, ...]  # the scenario directories
    failures: tuple[Failure, ...]
    waived: tuple[Failure, ...]
    is_trial: bool

    @property
    def holds(self) -> bool:
        """Nothing must be put right; of a trial this does not mean that it is a submission."""
        return not self.failures


def examine(tree: Tree, of: Round, *, as_trial: bool = False, ignore_marker: bool = False) -> Verdict:
    """Check a tree by the rules of a round.

    Args:
        as_trial: let it off the rules on length and counts, in the open division.
        ignore_marker: do not do so because the tree says that it is a trial.
    """
    marked = tree.has(PurePosixPath(TRIAL_MARKER)) and not ignore_marker
    is_trial = as_trial or marked
    found = list(dict.fromkeys(_failures(tree, of)))
    waived = tuple(one for one in found if is_trial and _may_be_waived(one))
    kept = tuple(one for one in found if not (is_trial and _may_be_waived(one)))
    results = tuple(str(one.scenario_dir) for one in _results(tree, of))
    return Verdict(of.name, results, kept, waived, is_trial)


def _may_be_waived(failure: Failure) -> bool:
    return failure.rule in WAIVED_IN_TRIALS and PurePosixPath(failure.file).parts[0] == "open"


def _failures(tree: Tree, of: Round) -> Iterator[Failure]:
    yield from names.check(tree)
    yield from names.something(tree, len(_results(tree, of)))
    for where in _submitters(tree, of):
        for check in _OF_A_SUBMITTER:
            yield from _until_refused(check(tree, where))
        for system in tree.folders_in(where.results):
            yield from _until_refused(systems.description(tree, where, system))
            for model in tree.folders_in(where.results / system):
                yield from _until_refused(models.check(tree, where, where.results / system / model))
    for result in _results(tree, of):
        for of_result in _OF_A_RESULT:
            yield from _until_refused(of_result(tree, result))


def _until_refused(found: Iterable[Failure]) -> Iterator[Failure]:
    try:
        yield from found
    except RefusedError as error:
        yield error.failure


def _submitters(tree: Tree, of: Round) -> list[Submitter]:
    return [
        Submitter(of, division, name) for division in DIVISIONS for name in tree.folders_in(PurePosixPath(division))
    ]


def _results(tree: Tree, of: Round) -> list[Layout]:
    """Every scenario that has a name of LoadGen's; `models` refuses others."""
    return [
        Layout(of, where.division, where.submitter, system, model, scenario)
        for where in _submitters(tree, of)
        for system in tree.folders_in(where.results)
        for model in tree.folders_in(where.results / system)
        for scenario in tree.folders_in(where.results / system / model)
        if scenario in SCENARIOS
    ]
