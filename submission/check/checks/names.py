"""Checks of the tree as a whole: divisions, stray files, links, sizes and names, without a look at contents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from submission.check.failure import Failure
from submission.check.tree import Tree, is_text, too_large
from submission.rules.layout import SubmitterLayout
from submission.rules.rounds import (
    CHECKED_DIVISIONS,
    IGNORED_DIRECTORIES,
    MAX_FILE_BYTES,
    ROOT_SUFFIXES,
    TAKEN_IN_NAMES,
    TAKEN_IN_SYSTEMS,
)

_ROOT = PurePosixPath(".")


def check(tree: Tree) -> Iterator[Failure]:
    """Files, links and directories that the round has no place for."""
    yield from _root(tree)
    for division in set(CHECKED_DIVISIONS) & set(tree.folders_in(_ROOT)):
        for name in tree.files_in(PurePosixPath(division)):
            todo = "Move it into a submitter's directory, or next to the division."
            yield _named(PurePosixPath(division, name), "stray", "a file", "only directories of submitters", todo)
    for path, kind in tree.others.items():
        yield _named(path, "links", kind, "files and directories", "Put a copy of the file there.")
    for path, size in tree.files.items():
        if size > MAX_FILE_BYTES:
            yield too_large(path, size)
    inside = [path for path in (*tree.files, *tree.folders, *tree.others) if path.parts[0] in CHECKED_DIVISIONS]
    yield from (failure for path in inside if len(path.parts) > 1 for failure in _name(path))
    yield from _empty(tree)


def _root(tree: Tree) -> Iterator[Failure]:
    for name in tree.files_in(_ROOT):
        if not name.endswith(ROOT_SUFFIXES):
            expected = f"only files that end in {' or '.join(ROOT_SUFFIXES)} next to the divisions"
            yield _named(PurePosixPath(name), "stray", "a file", expected, "Move it out of the submission.")
    for name in tree.folders_in(_ROOT):
        if name not in (*CHECKED_DIVISIONS, *IGNORED_DIRECTORIES):
            expected = " or ".join(f"{division}/" for division in CHECKED_DIVISIONS)
            todo = "Give the directory that holds the divisions."
            yield _named(PurePosixPath(name), "division", "another directory", expected, todo)


def has_results(tree: Tree, results: int) -> Iterator[Failure]:
    """Refuse a tree without results, for which the official checkers would print OK."""
    if not results:
        inner = [path.parent for path in tree.folders if path.name in CHECKED_DIVISIONS and path.parent != _ROOT]
        todo = f"Give the directory {inner[0]} instead." if inner else "Give the directory that holds closed/ or open/."
        yield _named(_ROOT, "results", "no results", "results in closed/ or open/", todo)


def submitter(tree: Tree, layout: SubmitterLayout) -> Iterator[Failure]:
    """Names that a checker takes for something else, and a submitter without results: one checker crashes then."""
    if not tree.folders_in(layout.results):
        yield _named(
            layout.results, "results", "nothing", "results of a system", "Add results, or remove the directory."
        )
    yield from _taken(layout.folder, TAKEN_IN_NAMES)
    for system in tree.folders_in(layout.results):
        yield from _taken(layout.results / system, TAKEN_IN_SYSTEMS)
        for model in tree.folders_in(layout.results / system):
            yield from _taken(layout.results / system / model, TAKEN_IN_NAMES)


def _taken(path: PurePosixPath, parts: Sequence[str]) -> Iterator[Failure]:
    for part in parts:
        if part in path.name:
            expected = f"a name without {part}, which a checker takes for something else"
            yield _named(path, "names", path.name, expected, "Rename it, in every tree of the submission.")


def _name(path: PurePosixPath) -> Iterator[Failure]:
    if path.name.startswith("."):
        yield _named(path, "names", "a name that begins with a dot", "visible names", "Delete or rename it.")
    if " " in path.name:
        yield _named(path, "names", "a name with spaces", "names without spaces", "Replace each space by _ or -.")
    if path.name.endswith("__pycache__"):
        yield _named(path, "names", "Python's cache", "only sources", "Delete it.")
    if not is_text(path.name):
        yield _named(path, "names", "a name that is not UTF-8", "names in UTF-8", "Rename it.")


def _empty(tree: Tree) -> Iterator[Failure]:
    parents = {path.parent for path in (*tree.files, *tree.folders, *tree.others)}
    for path in tree.folders - parents:
        if path.parts[0] in CHECKED_DIVISIONS and len(path.parts) > 1:
            yield _named(path, "empty", "an empty directory", "files in it", "Delete it, or add the missing files.")


def _named(path: PurePosixPath, rule: str, found: str, expected: str, todo: str) -> Failure:
    return Failure(str(path), f"tree.{rule}", found, expected, todo)
