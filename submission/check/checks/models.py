"""Checks of a model's directory: its benchmark, and the scenarios that its division requires or allows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from foundation.rules import F1_TARGETS, SCENARIOS
from submission.check.failure import Failure, RefusedError
from submission.check.tree import Tree
from submission.rules.layout import SubmitterLayout
from submission.rules.rounds import OTHER_MODELS, REQUIRED_SCENARIOS

_LONGEST_FIRST = sorted(F1_TARGETS, key=len, reverse=True)


def check(tree: Tree, layout: SubmitterLayout, folder: PurePosixPath) -> Iterator[Failure]:
    """Check `folder`, a model's directory of results."""
    yield from _scenarios(layout, folder, tree.folders_in(folder))
    benchmark(tree, layout, folder)


def benchmark(tree: Tree, layout: SubmitterLayout, folder: PurePosixPath) -> str:
    """bert-99 or bert-99.9. Raises RefusedError if the directory's name stands for neither."""
    mapping = tree.json(layout.model_mapping) if layout.division == "open" and tree.has(layout.model_mapping) else {}
    model = folder.name
    name = model if model in F1_TARGETS else mapping.get(model) or _contained(model)
    if isinstance(name, str) and name in F1_TARGETS:
        return name
    expected = f"{' or '.join(F1_TARGETS)}, or a name that contains one"
    todo = "Rename the directory, or (open division) map its name in model_mapping.json."
    raise RefusedError(Failure(str(folder), "models.name", f"{model!r}, which stands for {name!r}", expected, todo))


def _contained(model: str) -> str | None:
    """The benchmark in a name, as the official checkers guess it: another model's name comes first."""
    return next((name for name in (*OTHER_MODELS, *_LONGEST_FIRST) if name in model), None)


def _scenarios(layout: SubmitterLayout, folder: PurePosixPath, found: list[str]) -> Iterator[Failure]:
    allowed = REQUIRED_SCENARIOS if layout.is_closed else SCENARIOS
    for name in found:
        if name not in allowed:
            todo = "Rename it exactly so, or remove it."
            yield Failure(str(folder / name), "models.scenario", name, f"one of {', '.join(allowed)}", todo)
    missing = [name for name in REQUIRED_SCENARIOS if name not in found]
    if layout.is_closed and missing:
        todo = f"Run {', '.join(missing)} too, or submit to the open division."
        yield Failure(
            str(folder), "models.scenarios", ", ".join(found) or "no scenario", " and ".join(REQUIRED_SCENARIOS), todo
        )
    elif not found:
        yield Failure(str(folder), "models.scenarios", "no scenario", "at least one scenario", "Add its results.")
