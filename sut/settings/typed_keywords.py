"""The table of settings as a TypedDict, keywords.py next to this file: a type checker then knows `sut.run`'s keywords.

A test compares the two.

    python -m sut.settings.typed_keywords sut/settings/keywords.py
"""

from __future__ import annotations

import sys
from pathlib import Path

from foundation import program
from sut.settings.setting import Setting
from sut.settings.settings import SETTINGS

_HEAD = '''"""The settings of a run as keywords of functions. Made by `make docs` from settings.py; do not edit."""

from __future__ import annotations

import os
from typing import TypedDict


class RunSettings(TypedDict, total=False):
    """Keywords of `sut.run`: the flags of a run with underscores; docs/guide/settings.md explains each."""

'''
_TYPES: dict[type, str] = {Path: "str | os.PathLike[str]"}


def source() -> str:
    """The text of keywords.py."""
    return _HEAD + "".join(f"    {row.name}: {_type(row)}\n" for row in SETTINGS.values())


def _type(row: Setting) -> str:
    kind = "str | list[str]" if row.joined else _TYPES.get(row.kind, row.kind.__name__)
    return f"{kind} | None" if row.default is None else kind


def main(argv: list[str]) -> int:
    """Write each file."""
    for path in map(Path, argv):
        path.write_text(source(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(program.run(lambda: main(sys.argv[1:])))
