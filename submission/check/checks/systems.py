"""Checks of systems/<system>.json: its 35 keys and their values, and that each described system has results."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from submission.check.checks import network
from submission.check.checks.requirement import Requirement, is_nonblank, is_number, is_text, once, unmet
from submission.check.failure import Failure
from submission.check.tree import Tree
from submission.rules.layout import SubmitterLayout
from submission.rules.rounds import (
    STATUSES,
    SYSTEM_KEYS,
    SYSTEM_KEYS_COUNT,
    SYSTEM_KEYS_INTEGER,
    SYSTEM_KEYS_MAY_BE_EMPTY,
    SYSTEM_TYPES,
)

_MOST_DIGITS = sys.int_info.default_max_str_digits


def check(tree: Tree, layout: SubmitterLayout) -> Iterator[Failure]:
    """Refuse a description, or measurements, of a system without results."""
    described = {name.removesuffix(".json") for name in tree.files_in(layout.systems) if name.endswith(".json")}
    with_results = set(tree.folders_in(layout.results))
    idle = [layout.description(system) for system in sorted(described - with_results)]
    if not layout.round.idle_measurements:
        idle += [layout.measured / system for system in tree.folders_in(layout.measured) if system not in with_results]
    for path in idle:
        todo = "Delete it, or add its results."
        yield Failure(str(path), "systems.results", "no results of this system", "results", todo)


def description(tree: Tree, layout: SubmitterLayout, system: str) -> Iterator[Failure]:
    """The description of one system that has results."""
    path = layout.description(system)
    if tree.has(layout.nameplate(system)):
        todo = "Remove it: results with power are not checked here."
        yield Failure(str(layout.nameplate(system)), "systems.power", "a power description", "no such file", todo)
    found = tree.json(path)
    yield from unmet(path, once(found), requirements(layout))
    yield from network.description(path, found, layout)


def requirements(layout: SubmitterLayout) -> tuple[Requirement, ...]:
    """One for each key; `where` has the submitter and division that the description must give."""
    return (*_fixed_values(layout), *map(_key, SYSTEM_KEYS), *map(_may_be_empty, SYSTEM_KEYS_MAY_BE_EMPTY))


def _fixed_values(layout: SubmitterLayout) -> Iterator[Requirement]:
    fixed = {
        "division": ((layout.division,), "the directory's division"),
        "submitter": ((layout.submitter.lower(),), "the directory's submitter"),
        "status": (STATUSES, "one of the statuses"),
        "system_type": (SYSTEM_TYPES, "an edge system: BERT is no datacenter benchmark since v5.0"),
    }
    for key, (allowed, why) in fixed.items():
        expected = f"{' or '.join(allowed)} ({why})"
        # The official checkers ignore case in these two only.
        is_lowered = key in ("submitter", "status")
        yield Requirement(f"systems.{key}", key, _among(allowed, is_lowered), expected, f"Correct {key}.")


def _among(allowed: tuple[str, ...], is_lowered: bool) -> Any:
    return lambda found: isinstance(found, str) and (found.lower() if is_lowered else found) in allowed


def _key(key: str) -> Requirement:
    if key in SYSTEM_KEYS_INTEGER:
        return Requirement("systems.keys", key, _is_integer, 'a number as text, for example "0" or "2"', f"Set {key}.")
    if key in SYSTEM_KEYS_COUNT:
        return Requirement("systems.keys", key, _is_count, "text, or a number other than 0", f"Set {key}.")
    return Requirement("systems.keys", key, is_nonblank, 'text, at least "N/A"', f"Set {key}.")


def _may_be_empty(key: str) -> Requirement:
    return Requirement("systems.keys", key, is_text, "text, which may be empty", f'Add "{key}": "".')


def _is_integer(found: Any) -> bool:
    """The number 0 counts as empty in the official checkers; "N/A", and more digits than Python reads, crash them."""
    is_one = isinstance(found, int) and not isinstance(found, bool) and found > 0
    return is_one or (isinstance(found, str) and found.isascii() and found.isdigit() and len(found) <= _MOST_DIGITS)


def _is_count(found: Any) -> bool:
    return is_nonblank(found) or (is_number(found) and found != 0)
