"""`python -m sut presets`: lists the presets: their purpose and their flags."""

from __future__ import annotations

from collections.abc import Sequence

from foundation import terminal
from sut.settings import presets
from sut.settings.parser import Parser, new_parser
from sut.settings.resolve import resolve, to_flags


def parser() -> Parser:
    """The command line of `presets`."""
    return new_parser("presets")


def main(argv: Sequence[str]) -> int:
    """The verb `presets`."""
    parser().read(argv)
    from rich.table import Table

    listing = Table("preset", "what it is for", "its flags", box=None, padding=(0, 2, 0, 0))
    for name, row in presets.table().items():
        listing.add_row(name, row[presets.ABOUT], " ".join(to_flags(resolve(presets.settings(name)))))
    terminal.console().print(listing)
    return 0
