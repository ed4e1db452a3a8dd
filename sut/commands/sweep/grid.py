"""What `--set` says: the values that a setting takes, and the grid of all of them.

No setting is known here by name: they are the rows of the table of settings, so a new one can be swept at once.

    batch_size=1 2 4 8        precision=fp32|int8        BATCH_SIZE=1 2 4 ...64        threads=1 2 ...8
"""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeGuard

from foundation.suggest import did_you_mean
from sut.errors import UsageError
from sut.settings.resolve import resolve
from sut.settings.setting import flag
from sut.settings.settings import SETTINGS, RunConfig

Value = bool | int | float | str  # as `resolve` takes it; a path is a str
_MOST = 1000  # values of one range
_ELLIPSES = ("...", "…")
_WORDS = {"true": True, "yes": True, "false": False, "no": False}
# How a value of each type is read from text; any other type is text here.
_READ: dict[type, tuple[Callable[[str], Value], str]] = {
    bool: (lambda word: _WORDS[word.lower()], "true or false"),
    int: (int, "whole numbers"),
    float: (float, "numbers"),
}


@dataclass(frozen=True)
class Axis:
    """A setting that is swept, and its values in the order in which they were given."""

    field: str
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Point:
    """One place of the grid: a value for each axis, and the run that they make with all other settings."""

    settings: dict[str, Value]
    config: RunConfig

    def __str__(self) -> str:
        return words(self.settings)


def shown(value: Value) -> str:
    """A value as a person writes it: 10, not 10.0."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def words(settings: Mapping[str, Value]) -> str:
    """A point as a person writes it."""
    return " ".join(f"{field}={shown(value)}" for field, value in settings.items())


def axis(text: str) -> Axis:
    """The axis that "NAME=VALUES" names.

    Raises:
        UsageError: no such setting, a value of another type, a range that cannot be continued, a value given twice.
    """
    name, equals, rest = text.partition("=")
    if not equals:
        raise UsageError(f'expected --set "NAME=VALUES", found {text!r}. For instance: --set "instances=1 2"')
    field = _field(name)
    values = tuple(_typed(field, word) for word in _expanded(_split(text, rest), text))
    if not values:
        raise UsageError(f'expected values in --set {text!r}, found none. For instance: --set "{field}=1 2"')
    if len(set(values)) < len(values):
        raise UsageError(f"expected each value once in --set {text!r}, found one twice. Repeats are --repeat N.")
    return Axis(field, values)


def points(axes: Sequence[Axis], values: Mapping[str, Any], toml: Path | None = None) -> list[Point]:
    """The cross product of `axes`, the last one turning fastest, over the flags in `values` and the file `toml`.

    Raises:
        UsageError: a setting is swept twice, or is a flag too; a point that no run can have.
    """
    for number, one in enumerate(axes):
        if one.field in values:
            raise UsageError(f"{flag(one.field)} is swept by --set; leave the flag out.")
        if one.field in [other.field for other in axes[:number]]:
            raise UsageError(f"expected each setting once, found two --set {one.field}=….")
    grid = [dict(zip([one.field for one in axes], chosen, strict=True)) for chosen in _product(axes)]
    return [Point(settings, resolve({**values, **settings}, toml)) for settings in grid]


def _product(axes: Sequence[Axis]) -> itertools.product[tuple[Value, ...]]:
    return itertools.product(*(one.values for one in axes))


def is_geometric(values: Sequence[object]) -> bool:
    """True for three numbers or more, above 0, of which each is the same multiple of the one before."""
    numbers = [value for value in values if is_number(value) or isinstance(value, Fraction)]
    exact = [Fraction(str(value)) for value in numbers if value > 0]
    if len(exact) < max(3, len(values)):
        return False
    ratios = {after / before for before, after in itertools.pairwise(exact)}
    return len(ratios) == 1 and ratios != {Fraction(1)}


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether it is a number; a bool is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _field(name: str) -> str:
    known = [name for name, row in SETTINGS.items() if "sweep" in row.verbs]
    found = name.strip().lower().removeprefix("--").replace("-", "_")
    if found in known:
        return found
    hint = did_you_mean(found, known) or f" Known: {', '.join(known)}."
    raise UsageError(f"expected a setting of a run before the = of --set, found {name!r}.{hint}")


def _split(text: str, values: str) -> list[str]:
    """Words between blanks or |, quotes respected."""
    lexer = shlex.shlex(values, posix=True)
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t|", True, ""
    try:
        return list(lexer)
    except ValueError as error:
        raise UsageError(f"expected whole quotes in --set {text!r}, found: {error}.") from error


def _expanded(found: list[str], text: str) -> list[str]:
    """The same with "...64" or "... 64" at its end written out."""
    at = next((number for number, word in enumerate(found) if word.startswith(_ELLIPSES)), None)
    if at is None:
        return found
    end = [found[at].lstrip(".…"), *found[at + 1 :]]
    try:
        (last,) = [Fraction(word) for word in end if word]
        return [_plain(value) for value in _continued([Fraction(word) for word in found[:at]], last)]
    except (ValueError, ZeroDivisionError) as error:
        raise UsageError(
            f"expected a range in --set {text!r}: two numbers or more, steps or multiples of one size, then ...LAST "
            f"at the end ({error}). For instance: 1 2 4 ...64, or 2 4 ...16"
        ) from error


def _continued(first: list[Fraction], last: Fraction) -> list[Fraction]:
    """`first` and what follows it up to `last`: multiplied where three numbers or more say so, else added."""
    if len(first) < 2:
        raise ValueError("found fewer than two numbers")
    step = first[1] - first[0]
    times, plus = (first[1] / first[0], Fraction(0)) if is_geometric(first) else (Fraction(1), step)
    if any(before * times + plus != after for before, after in itertools.pairwise(first)):
        raise ValueError("found steps of several sizes")
    if not step or (last - first[-1]) * step < 0:
        raise ValueError("they do not lead to the last")
    found = list(first)
    while (last - (following := found[-1] * times + plus)) * step >= 0:
        found.append(following)
        if len(found) > _MOST:
            raise ValueError(f"found more than {_MOST} values")
    return found


def _plain(value: Fraction) -> str:
    return str(value.numerator) if value.denominator == 1 else repr(float(value))


def _typed(field: str, word: str) -> Value:
    read, expected = _READ.get(SETTINGS[field].kind, (str, "text"))
    try:
        return read(word)
    except (ValueError, KeyError) as error:
        raise UsageError(f"expected {expected} in --set {field}=…, found {word!r}.") from error
