"""One value that a file must have, as data: logs and JSON files are checked by tables of these."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, TypeGuard

from submission.check.failure import Failure

_LARGEST = 1e300


@dataclass(frozen=True)
class Requirement:
    """Every value of `key` must satisfy `holds`; `wanted` says so in words."""

    rule: str
    key: str
    holds: Callable[[Any], bool]
    wanted: str
    todo: str
    if_there: bool = False  # a key that is missing is none the worse


def unmet(path: PurePosixPath, values: Mapping[str, Sequence[Any]], table: Iterable[Requirement]) -> Iterator[Failure]:
    """The requirements that `values` (of each key, all that the file gives) do not satisfy."""
    for one in table:
        found = values.get(one.key, ())
        bad = [value for value in found if not one.holds(value)]
        if bad or not (found or one.if_there):
            shown = f"{one.key} = {_short(bad[0])}" if bad else f"no {one.key}"
            yield Failure(str(path), one.rule, shown, one.wanted, one.todo)


def once(values: Mapping[str, Any]) -> dict[str, list[Any]]:
    """A JSON object as `unmet` takes it: one value for each key."""
    return {key: [value] for key, value in values.items()}


def equals(wanted: Any) -> Callable[[Any], bool]:
    """Equal, and of the same type: 1 is not true."""
    return lambda found: type(found) is type(wanted) and found == wanted


def at_least(wanted: float) -> Callable[[Any], bool]:
    return lambda found: is_number(found) and found >= wanted


def is_number(found: Any) -> TypeGuard[int | float]:
    """No bool, nor what a float cannot hold: JSON has NaN, infinities and integers of any length."""
    return isinstance(found, int | float) and not isinstance(found, bool) and abs(found) < _LARGEST


def is_positive(found: Any) -> bool:
    return is_number(found) and found > 0


def is_text(found: Any) -> bool:
    return isinstance(found, str)


def says_something(found: Any) -> bool:
    return isinstance(found, str) and bool(found.strip())


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
