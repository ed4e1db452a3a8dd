"""A requirement on one key of a file, as data: logs and JSON files are checked by tables of these."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, TypeGuard

from submission.check.failure import Failure

_LARGEST = 1e300


@dataclass(frozen=True)
class Requirement:
    """Every value of `key` must satisfy `holds`; `expected` describes that to people."""

    rule: str
    key: str
    holds: Callable[[Any], bool]
    expected: str
    todo: str
    is_optional: bool = False  # checked only if the key is present


def unmet(path: PurePosixPath, values: Mapping[str, Sequence[Any]], table: Iterable[Requirement]) -> Iterator[Failure]:
    """The failures of a file; `values` holds all values of each key."""
    for one in table:
        found = values.get(one.key, ())
        bad = [value for value in found if not one.holds(value)]
        if bad or not (found or one.is_optional):
            shown = f"{one.key} = {_short(bad[0])}" if bad else f"no {one.key}"
            yield Failure(str(path), one.rule, shown, one.expected, one.todo)


def once(values: Mapping[str, Any]) -> dict[str, list[Any]]:
    """A JSON object in the form of `unmet`'s `values`."""
    return {key: [value] for key, value in values.items()}


def equals(expected: Any) -> Callable[[Any], bool]:
    """Tests equality of value and type: 1 is not true."""
    return lambda found: type(found) is type(expected) and found == expected


def at_least(expected: float) -> Callable[[Any], bool]:
    """A test for numbers from `expected` on."""
    return lambda found: is_number(found) and found >= expected


def is_number(found: Any) -> TypeGuard[int | float]:
    """Whether it is a number, not a bool, that fits a float: JSON has NaN, infinities and integers of any length."""
    return isinstance(found, int | float) and not isinstance(found, bool) and abs(found) < _LARGEST


def is_text(found: Any) -> bool:
    """Whether it is text, even empty."""
    return isinstance(found, str)


def is_nonblank(found: Any) -> bool:
    """Whether it is text with a character that shows."""
    return isinstance(found, str) and bool(found.strip())


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
