"""Checks of the files in a results directory: required and allowed ones; the official checkers refuse any other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from submission.check.failure import Failure
from submission.check.tree import Tree
from submission.rules.layout import RUN_1, ResultLayout
from submission.rules.rounds import (
    ACCURACY_FILES,
    OPTIONAL_FILES,
    OPTIONAL_PERFORMANCE_FILES,
    PERFORMANCE_FILES,
    POWER,
)


def check(tree: Tree, layout: ResultLayout) -> Iterator[Failure]:
    """The performance and the accuracy directory of one result; `compliance` checks those of TEST01."""
    yield from listed(tree, layout.performance, PERFORMANCE_FILES, OPTIONAL_PERFORMANCE_FILES)
    yield from listed(tree, layout.accuracy, ACCURACY_FILES, OPTIONAL_FILES)
    runs = layout.performance.parent
    for name in (*tree.folders_in(runs), *({POWER} & set(tree.files_in(runs)))):
        if name != RUN_1:
            todo = "Remove it: one run is submitted. Results with power are not checked here."
            yield Failure(str(runs / name), "files.stray", "another run", f"only {RUN_1}", todo)


def listed(tree: Tree, folder: PurePosixPath, must: Sequence[str], may: Sequence[str]) -> Iterator[Failure]:
    """The files of `must` that are missing, and the files that are in neither `must` nor `may`."""
    found = tree.files_in(folder)
    yield from (tree.missing(folder / name) for name in must if name not in found)
    for name in found:
        if name not in (*must, *may):
            expected = f"only {', '.join(must)}"
            yield Failure(str(folder / name), "files.stray", "another file", expected, "Move it out of the submission.")
