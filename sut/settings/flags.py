"""The flags of a run, made from the table of settings, for every verb that takes them.

They have no defaults, so that a flag that was not given does not override a TOML file.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sut.errors import UsageError
from sut.settings.parser import Parser
from sut.settings.resolve import read_toml
from sut.settings.setting import Setting, flag
from sut.settings.settings import FILES, SETTINGS

_TOML = "config"
# Why a verb refuses some of a run's flags.
_WHY = {
    "ask": "`ask` takes the flags that choose and load a model",
    "compare": "a comparison sets it for each of its runs",
    "serve": "`serve` takes the flags that choose and load a model",
    "sweep": "a sweep sets it for each of its runs",
    "submit": "a submission sets it for each of its runs",
    "tune": "`tune` sets it for each of its runs, or has no use for it",
}


def add(parser: Parser, verb: str) -> None:
    """Add a run's flags to the parser of a verb. Flags that it does not take are hidden; `split` refuses them."""
    groups = {name: parser.add_argument_group(name) for name in dict.fromkeys(row.group for row in SETTINGS.values())}
    for row in SETTINGS.values():
        if not parser.has(row.flag):
            action = _add(groups[row.group], row, verb)
            if row.also is not None and verb in row.verbs:
                parser.add_at_help(action, row.also)
    groups[FILES].add_argument(flag(_TOML), type=Path, metavar="FILE", default=argparse.SUPPRESS,
                               help="TOML with the names of a run's flags; flags override it")  # fmt: skip


def split(
    options: argparse.Namespace, verb: str, instead: Mapping[str, str] | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """(the settings that were given, by name; those of the TOML file to start from).

    Args:
        instead: what to type instead, by the name of a setting that the verb does not take.

    Raises:
        UsageError: a flag that the verb does not take, or a TOML file that cannot be read.
    """
    values = {name: value for name, value in vars(options).items() if name in SETTINGS}
    for name in values:
        if verb not in SETTINGS[name].verbs:
            todo = (instead or {}).get(name, "")
            raise UsageError(f"found {flag(name)}: {_WHY[verb]}. Remove it. {todo}".rstrip())
    path = getattr(options, _TOML, None)
    return values, read_toml(path) if path else {}


def _add(group: argparse._ArgumentGroup, row: Setting, verb: str) -> argparse.Action:
    text = f"{row.help} (default: {row.otherwise})" if row.kind is not bool else row.help
    shown = text.replace("%", "%%") if verb in row.verbs else argparse.SUPPRESS
    same: dict[str, Any] = {"dest": row.name, "default": argparse.SUPPRESS, "help": shown}
    if row.kind is bool:
        return group.add_argument(*row.flags, action="store_true", **same)
    if row.joined:
        return group.add_argument(*row.flags, action=_Join, metavar=row.metavar, **same)
    return group.add_argument(*row.flags, type=_TYPES[row.kind], metavar=row.metavar, **same)


class _Join(argparse.Action):
    """A flag that may be typed several times: its values, with commas."""

    def __call__(self, parser: argparse.ArgumentParser, options: argparse.Namespace, value: Any, *_: Any) -> None:
        before = getattr(options, self.dest, None)
        setattr(options, self.dest, f"{before},{value}" if before else value)


def _whole_number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a whole number, found {text!r}") from None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number, found {text!r}") from None


_TYPES: dict[type, Callable[[str], Any]] = {str: str, Path: Path, int: _whole_number, float: _number}
