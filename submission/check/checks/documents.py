"""Checks of the documents of a result: measurements, user.conf, README.md, the source code, calibration.md."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from submission.check.checks import models
from submission.check.checks.requirement import Requirement, is_nonblank, once, unmet
from submission.check.failure import Failure
from submission.check.tree import Tree
from submission.rules.layout import ResultLayout, SubmitterLayout, model_folder
from submission.rules.rounds import MEASUREMENTS_KEYS, OPEN

_KEYS = tuple(
    Requirement("documents.measurements", key, is_nonblank, 'text, for example "No"', f"Set {key}.")
    for key in MEASUREMENTS_KEYS
)


def check(tree: Tree, layout: ResultLayout) -> Iterator[Failure]:
    """The documents of one result."""
    for path in (layout.user_conf, layout.readme):
        yield from _not_empty(tree, path)
    yield from _code(tree, layout)
    for path in measurements(tree, layout):
        yield from unmet(path, once(tree.json(path)), _KEYS)
        yield from _own_name(tree, layout, path)


def _own_name(tree: Tree, layout: ResultLayout, path: PurePosixPath) -> Iterator[Failure]:
    """In the open division a model with a name of its own has directories of this name."""
    name = tree.json(path).get("model_name")
    if layout.division != OPEN or not isinstance(name, str):
        return
    expected = model_folder(name, models.benchmark(tree, layout, layout.model_dir))
    if expected != layout.model:
        todo = f"Rename its directories, and map {expected} in {layout.model_mapping.name}; or correct model_name."
        yield Failure(str(path), "models.own_name", f"model_name {name!r}", f"the name of {layout.model_dir}", todo)


def submitter(tree: Tree, layout: SubmitterLayout) -> Iterator[Failure]:
    """The document of a submitter on how the models were calibrated."""
    places = (layout.calibration, layout.folder / "documentation" / layout.calibration.name)
    if layout.is_closed and layout.round.calibration and not any(map(tree.has, places)):
        todo = f"Describe there, or in {places[1]}, how quantized values were found, or that there are none."
        yield tree.missing(places[0], todo)


def _not_empty(tree: Tree, path: PurePosixPath) -> Iterator[Failure]:
    if path not in tree.files:
        yield tree.missing(path)
    elif not tree.files[path]:
        yield Failure(str(path), "documents.empty", "an empty file", "how the result was made", "Fill it in.")


def _code(tree: Tree, layout: ResultLayout) -> Iterator[Failure]:
    path = layout.model_code if layout.round.style.code_per_model else layout.code
    if path not in tree.folders:
        todo = f"Put the source code, or a note of where it is, under {path.name}/: {layout.round.name} requires it."
        yield Failure(str(path), "documents.code", "no such directory", "the source code", todo)


def measurements(tree: Tree, layout: ResultLayout) -> list[PurePosixPath]:
    """The measurements file; in v5.x every file that an official checker may read as such."""
    if layout.round.style.together:
        return [layout.measurements]
    names = tree.files_in(layout.measurements_dir)
    alike = [name for name in names if name.startswith(layout.system) and name.endswith(".json")]
    return [layout.measurements_dir / name for name in alike] or [layout.measurements]
