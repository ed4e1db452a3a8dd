"""`python -m sut presets`: lists the presets: their purpose and their flags."""

from __future__ import annotations

import json
from collections.abc import Sequence

from foundation import terminal
from sut.settings import presets
from sut.settings.parser import Parser, new_parser
from sut.settings.resolve import resolve, to_flags


def parser() -> Parser:
    """The command line of `presets`."""
    found = new_parser("presets")
    found.add_argument("--json", action="store_true", help="print JSON")
    return found


def main(argv: Sequence[str]) -> int:
    """The verb `presets`."""
    options = parser().read(argv)
    if options.json:
        print(json.dumps(presets.table(), indent=1))
        return 0
    from rich.table import Table

    listing = Table("preset", "what it is for", "its flags", box=None, padding=(0, 2, 0, 0))
    for name, row in presets.table().items():
        listing.add_row(name, row[presets.ABOUT], " ".join(to_flags(resolve(presets.settings(name)))))
    terminal.console().print(listing)
    return 0
