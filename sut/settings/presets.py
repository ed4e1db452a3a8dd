"""`--preset NAME`: a run's settings by name, and `python -m sut presets`, which lists them.

Data alone, in configs/presets.toml: a preset is where a run starts from, so that whatever it says a flag can say too.
"""

from __future__ import annotations

import argparse
import difflib
import tomllib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from sut.errors import UsageError

_ABOUT, _MAY_LOSE = "about", "may_lose"
_LOSS = 1.0  # points, where a preset says nothing


@cache
def table() -> dict[str, dict[str, Any]]:
    """Every preset: its settings under the names of RunConfig's fields, and under "about" what it is for."""
    return tomllib.loads((files("configs") / "presets.toml").read_text(encoding="utf-8"))


def settings(name: str) -> dict[str, Any]:
    """What the preset sets.

    Raises:
        UsageError: there is none of this name.
    """
    if name not in table():
        near = difflib.get_close_matches(name, table(), n=1, cutoff=0.4)
        hint = f"Did you mean {near[0]}?" if near else "Type: python -m sut presets"
        raise UsageError(f"expected --preset out of {', '.join(table())}, found {name!r}. {hint}")
    return _settings(table()[name])


def _settings(row: dict[str, Any]) -> dict[str, Any]:
    return {field: value for field, value in row.items() if field not in (_ABOUT, _MAY_LOSE)}


def may_lose(name: str) -> float:
    """How many points of accuracy `compare` lets the preset lose beside fp32."""
    return float(table()[name].get(_MAY_LOSE, _LOSS))


def main(argv: Sequence[str]) -> int:
    """List the presets: what each is for, and the flags that it stands for."""
    argparse.ArgumentParser(prog="python -m sut presets", description="List the presets.").parse_args(argv)
    from rich.console import Console
    from rich.table import Table

    from sut.settings.resolve import resolve, to_flags

    listing = Table("preset", "what it is for", "its flags", box=None, padding=(0, 2, 0, 0))
    for name, row in table().items():
        config = resolve(_settings(row))
        listing.add_row(name, row[_ABOUT], " ".join(to_flags(config)))
    Console().print(listing)
    return 0
