"""`python -m sut completion SHELL`: a script that completes the verbs, flags, choices and files of `sut`.

shtab makes it from the parsers and the table of settings, so no flag is missing.

    sut completion bash > ~/.local/share/bash-completion/completions/sut
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from backends import BACKENDS
from sut.commands.help import parser_of
from sut.settings.parser import Parser, new_parser
from sut.settings.settings import SETTINGS
from sut.settings.verbs import VERBS

_SHELLS = ("bash", "zsh", "tcsh")
_MORE = """sut completion bash > ~/.local/share/bash-completion/completions/sut
sut completion zsh > ~/.zfunc/_sut                       with fpath+=~/.zfunc before compinit in ~/.zshrc
sut completion tcsh > ~/.sut.csh                         then: source ~/.sut.csh"""


def main(argv: Sequence[str]) -> int:
    """The verb `completion`."""
    shell = parser().read(argv).shell
    import shtab

    print(shtab.complete(_whole(shtab.FILE, shtab.DIRECTORY), shell))
    return 0


def parser() -> Parser:
    """The command line of `completion`."""
    found = new_parser("completion", _MORE)
    found.add_argument("shell", choices=_SHELLS, help="the shell that reads the script")
    return found


def _whole(file: Any, directory: Any) -> argparse.ArgumentParser:
    """The whole command line as one parser: a run's flags, or a verb and its flags.

    Args:
        file, directory: what completes such paths, as shtab names it.
    """
    run = parser_of("run")
    whole = argparse.ArgumentParser(prog="sut", parents=[run], add_help=False)
    verbs = whole.add_subparsers(dest="verb")
    for name, row in VERBS.items():
        own = run if name == "run" else parser_of(name)
        verbs.add_parser(name, help=row.help, parents=[own], add_help=False)
    for one in (whole, *verbs.choices.values()):
        for action in one._actions:
            _complete(action, directory if action.metavar == "DIR" else file)
    return whole


def _complete(action: argparse.Action, path: Any) -> None:
    row = SETTINGS.get(action.dest)
    if row is not None and row.choices is not None:
        known = (
            [row.choices({row.choices_of: name}) for name in BACKENDS.working()]
            if row.choices_of
            else [row.choices({})]
        )
        action.choices = list(dict.fromkeys(word for words in known for word in words))
    elif action.type is Path:
        action.complete = path  # type: ignore[attr-defined] # shtab's own name
