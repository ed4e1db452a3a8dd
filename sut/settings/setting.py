"""The form of one row of the table of settings: type, choices, range, default and help.

A row is the metadata of a dataclass field, so the table is also the type of a run's configuration, and mypy checks its
fields.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, dataclass, field
from pathlib import Path
from typing import Any, TypedDict, TypeVar, Unpack, get_args

from foundation.people_numbers import figure
from sut.settings.verbs import WITH_SETTINGS

MOST = 1e9  # far beyond any machine, and still a number that LoadGen can hold
_ROW = "setting"
_METAVARS = {int: "N", float: "X", Path: "FILE", str: "NAME", bool: ""}

T = TypeVar("T")
# The choices of a setting, given the values of the settings above it in the table.
Choices = Callable[[Mapping[str, Any]], Sequence[str]]


class Row(TypedDict, total=False):
    """The parts of a row that only some settings have."""

    implied: str  # the default in words, if `default` does not say it
    metavar: str
    unit: str
    choices: Choices
    choices_of: str  # the setting above it that its choices depend on
    plugged: Callable[[str], object]  # finds a choice in another package by "package.module:NAME", or raises UserError
    also: Callable[[], str]  # of other packages, for --help: what is installed here
    above: float  # a number is greater than this …
    least: float  # … or at least this, and at most MOST
    aliases: tuple[str, ...]
    not_for: str  # verbs that set it themselves, or have no use for it
    joined: bool  # text with commas: the flag may be typed several times, and TOML may have a list
    secret: bool  # a file that proves who we are: no record has its checksum
    repeated: bool  # False: other settings spell its value out, so a command line that repeats a run omits it


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One row. `kind` is the type of a value; where `default` is None, the run chooses a value."""

    name: str
    kind: type
    default: Any
    help: str
    group: str
    implied: str = ""
    metavar: str = ""
    unit: str = ""
    choices: Choices | None = None
    choices_of: str = ""
    plugged: Callable[[str], object] | None = None
    also: Callable[[], str] | None = None
    above: float | None = None
    least: float | None = None
    aliases: tuple[str, ...] = ()
    not_for: str = ""
    joined: bool = False
    secret: bool = False
    repeated: bool = True

    @property
    def flag(self) -> str:
        return flag(self.name)

    @property
    def flags(self) -> tuple[str, ...]:
        """All names of it on the command line."""
        return (self.flag, *map(flag, self.aliases))

    @property
    def verbs(self) -> tuple[str, ...]:
        """Those that take it."""
        return tuple(verb for verb in WITH_SETTINGS if verb not in self.not_for.split())

    @property
    def otherwise(self) -> str:
        """The default in words."""
        return self.implied or ("off" if self.kind is bool else str(self.default))

    @property
    def range(self) -> str:
        """The numbers that it takes, in words; "" if it takes none."""
        if self.above is not None:
            return f"above {figure(self.above)} and up to {figure(MOST)}"
        return "" if self.least is None else f"from {figure(self.least)} to {figure(MOST)}"

    def is_in_range(self, number: float) -> bool:
        """False for NaN too."""
        if self.above is not None:
            return self.above < number <= MOST
        return self.least is None or self.least <= number <= MOST


def flag(name: str) -> str:
    """A setting's name on the command line."""
    return "--" + name.replace("_", "-")


def setting(default: T, help: str, group: str, **row: Unpack[Row]) -> T:
    """A dataclass field with its row."""
    found: T = field(default=default, metadata={_ROW: {"help": help, "group": group, **row}})
    return found


def one_of(*words: str) -> Choices:
    """Choices that do not depend on other settings."""
    return lambda _: words


def row_of(one: Field[Any], hint: Any) -> Setting | None:
    """The row of a dataclass field of this type; None if it is not a setting."""
    if _ROW not in one.metadata:
        return None
    kind = next((found for found in get_args(hint) if found is not type(None)), hint)
    row = {"metavar": _METAVARS[kind], **one.metadata[_ROW]}
    return Setting(name=one.name, kind=kind, default=one.default, **row)
