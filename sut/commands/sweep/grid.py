"""Parses `--set`: the values of the swept settings, and the grid of their combinations.

Settings and their types come from the table of settings, so every new setting can be swept.

    batch_size=1 2 4 8        precision=fp32|int8        BATCH_SIZE=1 2 4 ...64        threads=1 2 ...8
"""

from __future__ import annotations

import itertools
import math
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeGuard

from foundation.people_numbers import plain
from foundation.suggest import did_you_mean
from sut.errors import UsageError
from sut.settings.resolve import resolve
from sut.settings.setting import flag
from sut.settings.settings import SETTINGS, RunConfig

Value = bool | int | float | str  # in the form that `resolve` takes; a path is a str
_MOST = 1000  # values of a range
_MOST_RUNS = 10_000  # of a sweep: more than a day of the shortest ones
_MOST_DIGITS = 30  # of a number of a range, with its exponent written out
_ELLIPSES = ("...", "…")
_WORDS = {"true": True, "yes": True, "false": False, "no": False}
# Type → how its values are parsed, and the name of the type; other types are text.
_READ: dict[type, tuple[Callable[[str], Value], str]] = {
    bool: (lambda word: _WORDS[word.lower()], "true or false"),
    int: (int, "whole numbers"),
    float: (float, "numbers"),
}


@dataclass(frozen=True)
class Axis:
    """A swept setting and its values in the given order."""

    field: str
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Point:
    """One point of the grid: a value for each axis, and the resulting configuration."""

    settings: dict[str, Value]
    config: RunConfig

    def __str__(self) -> str:
        return point_text(self.settings)


def shown(value: Value) -> str:
    """A value as text: 10, not 10.0."""
    return plain(value) if isinstance(value, float) else str(value)


def point_text(settings: Mapping[str, Value]) -> str:
    """A point as text: field=value …"""
    return " ".join(f"{field}={shown(value)}" for field, value in settings.items())


def axis(text: str) -> Axis:
    """Parse "NAME=VALUES".

    Raises:
        UsageError: an unknown setting, a value of a wrong type, an invalid range, or a value given twice.
    """
    name, equals, rest = text.partition("=")
    if not equals:
        raise UsageError(f'expected --set "NAME=VALUES", found {text!r}. For instance: --set "instances=1 2"')
    field = _field(name)
    values = tuple(_typed(field, word) for word in _expanded(_split(text, rest), text))
    if not values:
        raise UsageError(f'expected values in --set {text!r}, found none. For instance: --set "{field}=1 2"')
    if len(set(values)) < len(values):
        raise UsageError(
            f"expected each value once in --set {text!r}, found one twice. To repeat runs, type --repeat N."
        )
    return Axis(field, values)


def points(
    axes: Sequence[Axis], values: Mapping[str, Any], toml: Mapping[str, Any] | None = None, repeat: int = 1
) -> list[Point]:
    """The cross product of `axes`, the last one varying fastest, applied to the flags in `values` and the file `toml`.

    Raises:
        UsageError: a setting is swept twice or also given as a flag, a combination is not allowed, or `repeat` times
            the points are more than _MOST_RUNS.
    """
    for number, one in enumerate(axes):
        if one.field in values:
            raise UsageError(f"{flag(one.field)} is swept by --set. Remove the flag.")
        if one.field in [other.field for other in axes[:number]]:
            raise UsageError(f"expected each setting once, found two --set {one.field}=….")
    runs = math.prod(len(one.values) for one in axes) * repeat
    if runs > _MOST_RUNS:
        raise UsageError(
            f"expected at most {_MOST_RUNS:,} runs, found {runs:,}. Sweep fewer values, or lower --repeat."
        )
    grid = [dict(zip([one.field for one in axes], chosen, strict=True)) for chosen in _product(axes)]
    return [Point(settings, resolve({**values, **settings}, toml)) for settings in grid]


def _product(axes: Sequence[Axis]) -> itertools.product[tuple[Value, ...]]:
    return itertools.product(*(one.values for one in axes))


def is_geometric(values: Sequence[object]) -> bool:
    """Whether the values are three or more positive numbers with a constant ratio."""
    numbers = [value for value in values if is_number(value) or isinstance(value, Fraction)]
    exact = [Fraction(str(value)) for value in numbers if value > 0]
    if len(exact) < max(3, len(values)):
        return False
    ratios = {after / before for before, after in itertools.pairwise(exact)}
    return len(ratios) == 1 and ratios != {Fraction(1)}


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether it is a number, and not a bool."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _field(name: str) -> str:
    known = [name for name, row in SETTINGS.items() if "sweep" in row.verbs]
    found = name.strip().lower().removeprefix("--").replace("-", "_")
    if found in known:
        return found
    hint = did_you_mean(found, known) or f" Known: {', '.join(known)}."
    raise UsageError(f"expected a setting of a run before the = of --set, found {name!r}.{hint}")


def _split(text: str, values: str) -> list[str]:
    """Split at blanks and |, with shell quotes."""
    lexer = shlex.shlex(values, posix=True)
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t|", True, ""
    try:
        return list(lexer)
    except ValueError as error:
        raise UsageError(f"expected closed quotes in --set {text!r}, found: {error}.") from error


def _expanded(found: list[str], text: str) -> list[str]:
    """The values with a final "...64" or "... 64" expanded."""
    at = next((number for number, word in enumerate(found) if word.startswith(_ELLIPSES)), None)
    if at is None:
        return found
    end = [found[at].lstrip(".…"), *found[at + 1 :]]
    try:
        (last,) = [_exact(word) for word in end if word]
        return [_plain(value) for value in _continued([_exact(word) for word in found[:at]], last)]
    except (ValueError, ZeroDivisionError) as error:
        raise UsageError(
            f"expected a range in --set {text!r}: two or more numbers with a constant difference or ratio, then "
            f"...LAST ({error}). For instance: 1 2 4 ...64, or 2 4 ...16"
        ) from error


def _exact(word: str) -> Fraction:
    exponent = word.lower().partition("e")[2]
    if len(word) > _MOST_DIGITS or len(exponent) > 3 or abs(int(exponent or 0)) > _MOST_DIGITS:
        raise ValueError(f"a number has more than {_MOST_DIGITS} digits")
    return Fraction(word)


def _continued(first: list[Fraction], last: Fraction) -> list[Fraction]:
    """The range from `first` to `last`: geometric if three or more numbers have a constant ratio, else arithmetic."""
    if len(first) < 2:
        raise ValueError("there are fewer than two numbers")
    step = first[1] - first[0]
    times, plus = (first[1] / first[0], Fraction(0)) if is_geometric(first) else (Fraction(1), step)
    if any(before * times + plus != after for before, after in itertools.pairwise(first)):
        raise ValueError("the differences are not constant")
    if not step or (last - first[-1]) * step < 0:
        raise ValueError("the range does not reach its last number")
    found = list(first)
    while (last - (following := found[-1] * times + plus)) * step >= 0:
        found.append(following)
        if len(found) > _MOST:
            raise ValueError(f"it has more than {_MOST} values")
    return found


def _plain(value: Fraction) -> str:
    return str(value.numerator) if value.denominator == 1 else repr(float(value))


def _typed(field: str, word: str) -> Value:
    read, expected = _READ.get(SETTINGS[field].kind, (str, "text"))
    try:
        return read(word)
    except (ValueError, KeyError) as error:
        raise UsageError(f"expected {expected} in --set {field}=…, found {word!r}.") from error
