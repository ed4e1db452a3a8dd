"""The argument parser of every verb: the same layout, the same kind of error.

A mistake is one line with a suggestion, not the usage of forty flags.
"""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from foundation.suggest import did_you_mean
from sut.errors import UsageError
from sut.settings.verbs import VERBS

PROG = "python -m sut"


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are UsageErrors."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._at_help: dict[argparse.Action, Callable[[], str]] = {}

    def add_at_help(self, action: argparse.Action, text: Callable[[], str]) -> None:
        """Append `text()` to the help of a flag if help is shown: it may import what a run does not need."""
        self._at_help[action] = text

    def format_help(self) -> str:
        while self._at_help:
            action, text = self._at_help.popitem()
            if more := text().replace("%", "%%"):
                action.help = f"{action.help}. Installed here: {more}"
        return super().format_help()

    def read(self, argv: Sequence[str]) -> argparse.Namespace:
        """The values of `argv`. Raises UsageError for what cannot be used."""
        options, unknown = self.parse_known_args(argv)
        if unknown:
            hint = did_you_mean(unknown[0].partition("=")[0], self._option_string_actions)
            self.error(f"unrecognized arguments: {' '.join(unknown)}.{hint}")
        return options

    def has(self, flag: str) -> bool:
        """Whether `flag` was added already."""
        return flag in self._option_string_actions

    @property
    def shown(self) -> tuple[str, ...]:
        """The flags that its help shows."""
        return tuple(flag for flag, action in self._option_string_actions.items() if action.help != argparse.SUPPRESS)

    def error(self, message: str) -> NoReturn:
        end = "" if message.endswith((".", "?")) else "."
        raise UsageError(f"{message}{end} See: {self.prog} --help")


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Fits a description to the terminal: prose is filled; a line of a command stays one, or its remark moves below."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n\n".join(_fill(paragraph, width) for paragraph in text.split("\n\n"))


def _fill(paragraph: str, width: int) -> str:
    lines = paragraph.splitlines()
    if not any(line.startswith((" ", "python -m ", "sut ")) for line in lines):
        return textwrap.fill(paragraph, width)
    return "\n".join(line if len(line) <= width else _remark_below(line, width) for line in lines)


def _remark_below(line: str, width: int) -> str:
    command, _, remark = (part.rstrip() for part in re.split(r"(?<=\S)( {2,})", f"{line}   ", maxsplit=1))
    return command + textwrap.indent("\n" + textwrap.fill(remark, width - 4), "    ") if remark else command


def two_columns(rows: dict[str, str], width: int = 0) -> str:
    """A description's words on the left, at least `width` wide, and what they do on the right."""
    width = max(width, *map(len, rows))
    return "\n".join(f"  {words:<{width}}  {about}" for words, about in rows.items())


def new_parser(verb: str, more: str = "") -> Parser:
    """The parser of a verb, described by the verb's line of help and `more`."""
    row, prog = VERBS[verb], f"{PROG} {verb}"
    return Parser(
        prog=prog,
        usage=" ".join(filter(None, (prog, row.usage, "[FLAGS]"))) if row.takes_settings else None,
        description=f"{row.help[0].upper()}{row.help[1:]}.\n\n{more}".rstrip(),
        formatter_class=_HelpFormatter,
        allow_abbrev=False,
    )
