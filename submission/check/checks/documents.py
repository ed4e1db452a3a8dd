"""What says how a result came about: measurements, user.conf, README.md, the source code, calibration.md."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from submission.check.checks.requirement import Requirement, once, says_something, unmet
from submission.check.failure import Failure, missing
from submission.check.tree import Tree
from submission.rules.layout import Layout, Submitter
from submission.rules.rounds import MEASUREMENTS_KEYS

_KEYS = tuple(
    Requirement("documents.measurements", key, says_something, 'text that says something, as "No"', f"Give {key}.")
    for key in MEASUREMENTS_KEYS
)


def check(tree: Tree, where: Layout) -> Iterator[Failure]:
    """Of one result."""
    for path in (where.user_conf, where.readme):
        yield from _said(tree, path)
    yield from _code(tree, where)
    for path in _measurements(tree, where):
        yield from unmet(path, once(tree.json(path)), _KEYS)


def submitter(tree: Tree, where: Submitter) -> Iterator[Failure]:
    """Of all results of a submitter: how the models were calibrated."""
    places = (where.calibration, where.folder / "documentation" / where.calibration.name)
    if where.division == "closed" and where.round.calibration and not any(map(tree.has, places)):
        todo = f"Say there, or in {places[1]}, how quantized values were found, or that there are none."
        yield missing(places[0], todo)


def _said(tree: Tree, path: PurePosixPath) -> Iterator[Failure]:
    if path not in tree.files:
        yield missing(path)
    elif not tree.files[path]:
        yield Failure(str(path), "documents.empty", "an empty file", "what the result was made with", "Write it.")


def _code(tree: Tree, where: Layout) -> Iterator[Failure]:
    path = where.model_code if where.round.style.code_per_model else where.code
    if path not in tree.folders:
        todo = f"{where.round.name} wants source code, or where it is, under {path.name}/."
        yield Failure(str(path), "documents.code", "no such directory", "the source code", todo)


def _measurements(tree: Tree, where: Layout) -> list[PurePosixPath]:
    """The file of that name; with v5.x, also whatever a checker may take for it."""
    if where.round.style.together:
        return [where.measurements]
    names = tree.files_in(where.measurements_dir)
    alike = [name for name in names if name.startswith(where.system) and name.endswith(".json")]
    return sorted({where.measurements, *(where.measurements_dir / name for name in alike)})
