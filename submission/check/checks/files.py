"""Which files a directory of results must hold and may hold: the checkers refuse any other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from submission.check.failure import Failure, missing
from submission.check.tree import Tree
from submission.rules.layout import RUN_1, Layout
from submission.rules.rounds import ACCURACY_FILES, MAY_BE_BESIDE, MAY_BE_BESIDE_PERFORMANCE, PERFORMANCE_FILES


def check(tree: Tree, where: Layout) -> Iterator[Failure]:
    """The performance and the accuracy directory of one result; TEST01's own are `compliance`'s."""
    yield from listed(tree, where.performance, PERFORMANCE_FILES, MAY_BE_BESIDE_PERFORMANCE)
    yield from listed(tree, where.accuracy, ACCURACY_FILES, MAY_BE_BESIDE)
    for name in tree.folders_in(where.performance.parent):
        if name != RUN_1:
            todo = "One run is submitted; results with power are not checked here."
            yield Failure(str(where.performance.parent / name), "files.stray", "another run", f"{RUN_1} alone", todo)


def listed(tree: Tree, folder: PurePosixPath, must: Sequence[str], may: Sequence[str]) -> Iterator[Failure]:
    """What of `must` is missing, and what is neither in it nor in `may`."""
    found = tree.files_in(folder)
    yield from (missing(folder / name) for name in must if name not in found)
    for name in found:
        if name not in (*must, *may):
            wanted = f"{', '.join(must)} alone"
            yield Failure(str(folder / name), "files.stray", "another file", wanted, "Move it out of the submission.")
