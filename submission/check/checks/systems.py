"""systems/<system>.json: 35 keys, what they may say, and that each described system has results."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from submission.check.checks.requirement import Requirement, is_number, is_text, once, says_something, unmet
from submission.check.failure import Failure
from submission.check.tree import Tree
from submission.rules.layout import Submitter
from submission.rules.rounds import (
    STATUSES,
    SYSTEM_KEYS,
    SYSTEM_KEYS_COUNT,
    SYSTEM_KEYS_INTEGER,
    SYSTEM_KEYS_MAY_BE_EMPTY,
    SYSTEM_TYPES,
)


def check(tree: Tree, where: Submitter) -> Iterator[Failure]:
    """Every description, and every system that results are of."""
    described = {name.removesuffix(".json") for name in tree.files_in(where.systems) if name.endswith(".json")}
    measured = set(tree.folders_in(where.results))
    for system in sorted(described - measured):
        path = str(where.description(system))
        yield Failure(path, "systems.results", "no results of it", "results", "Delete it, or put its results there.")


def description(tree: Tree, where: Submitter, system: str) -> Iterator[Failure]:
    """The keys of one system that has results."""
    path = where.description(system)
    found = tree.json(path)
    yield from unmet(path, once(found), requirements(where))
    if "is_network" in found:
        todo = "Leave is_network out: LoadGen's Python SUT is never over a network."
        yield Failure(str(path), "systems.network", "is_network", "no such key", todo)


def requirements(where: Submitter) -> tuple[Requirement, ...]:
    """One for each key; `where` says which submitter and division it must name."""
    return (*_said(where), *map(_key, SYSTEM_KEYS), *map(_may_be_empty, SYSTEM_KEYS_MAY_BE_EMPTY))


def _said(where: Submitter) -> Iterator[Requirement]:
    fixed = {
        "division": ((where.division,), "the directory's division"),
        "submitter": ((where.submitter.lower(),), "the directory's submitter"),
        "status": (STATUSES, "one of the statuses"),
        "system_type": (SYSTEM_TYPES, "an edge system: BERT is in no other suite"),
    }
    for key, (allowed, why) in fixed.items():
        wanted = f"{' or '.join(allowed)} ({why})"
        # The checkers lower the case of these two alone.
        is_lowered = key in ("submitter", "status")
        yield Requirement(f"systems.{key}", key, _among(allowed, is_lowered), wanted, f"Correct {key}.")


def _among(allowed: tuple[str, ...], is_lowered: bool) -> Any:
    return lambda found: isinstance(found, str) and (found.lower() if is_lowered else found) in allowed


def _key(key: str) -> Requirement:
    if key in SYSTEM_KEYS_INTEGER:
        return Requirement("systems.keys", key, _is_integer, 'a number as text, as "0" or "2"', f"Give {key}.")
    if key in SYSTEM_KEYS_COUNT:
        return Requirement("systems.keys", key, _is_count, "text, or a number other than 0", f"Give {key}.")
    return Requirement("systems.keys", key, says_something, 'text that says something, if only "N/A"', f"Give {key}.")


def _may_be_empty(key: str) -> Requirement:
    return Requirement("systems.keys", key, is_text, "text, which may be empty", f'Add "{key}": "".')


def _is_integer(found: Any) -> bool:
    """0 as a number is empty to the checkers; "N/A" ends them in a traceback."""
    is_one = isinstance(found, int) and not isinstance(found, bool) and found > 0
    return is_one or (isinstance(found, str) and found.isascii() and found.isdigit())


def _is_count(found: Any) -> bool:
    return says_something(found) or (is_number(found) and found != 0)
