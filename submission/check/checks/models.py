"""Which benchmark a model's directory stands for, and whether its scenarios are those of its division."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from foundation.rules import F1_TARGETS, SCENARIOS
from submission.check.failure import Failure, RefusedError
from submission.check.tree import Tree
from submission.rules.layout import Submitter
from submission.rules.rounds import REQUIRED_SCENARIOS

_LONGEST_FIRST = sorted(F1_TARGETS, key=len, reverse=True)


def check(tree: Tree, where: Submitter, folder: PurePosixPath) -> Iterator[Failure]:
    """`folder` is a model's directory of results."""
    yield from _scenarios(where, folder, tree.folders_in(folder))
    benchmark(tree, where, folder)


def benchmark(tree: Tree, where: Submitter, folder: PurePosixPath) -> str:
    """bert-99 or bert-99.9. Raises RefusedError where the directory's name stands for neither."""
    mapping = tree.json(where.model_mapping) if where.division == "open" and tree.has(where.model_mapping) else {}
    model = folder.name
    name = model if model in F1_TARGETS else mapping.get(model) or _contained(model)
    if isinstance(name, str) and name in F1_TARGETS:
        return name
    wanted = f"{' or '.join(F1_TARGETS)}, or a name that contains one"
    todo = "Rename the directory; in the open division model_mapping.json may say which of them it stands for."
    raise RefusedError(Failure(str(folder), "models.name", f"{model!r}, which stands for {name!r}", wanted, todo))


def _contained(model: str) -> str | None:
    return next((name for name in _LONGEST_FIRST if name in model), None)


def _scenarios(where: Submitter, folder: PurePosixPath, found: list[str]) -> Iterator[Failure]:
    allowed = REQUIRED_SCENARIOS if where.division == "closed" else SCENARIOS
    for name in found:
        if name not in allowed:
            todo = "Name it exactly so, or take it out."
            yield Failure(str(folder / name), "models.scenario", name, f"one of {', '.join(allowed)}", todo)
    missing = [name for name in REQUIRED_SCENARIOS if name not in found]
    if where.division == "closed" and missing:
        todo = f"Run {', '.join(missing)} too, or submit to the open division."
        yield Failure(str(folder), "models.scenarios", ", ".join(found), " and ".join(REQUIRED_SCENARIOS), todo)
    if not found:
        yield Failure(str(folder), "models.scenarios", "no scenario", "results of one", "Put them there.")
