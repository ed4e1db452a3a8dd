"""The table of settings as Markdown, for the marked part of docs/guide/settings.md; a test compares the two.

It is a list because lines of a Markdown table cannot be wrapped.

    python -m sut.settings.markdown docs/guide/settings.md
"""

from __future__ import annotations

import sys
import textwrap
from itertools import groupby
from pathlib import Path

from foundation import program
from sut.settings.setting import Setting
from sut.settings.settings import SETTINGS
from sut.settings.verbs import WITH_SETTINGS

BEGIN = "<!-- made by `make docs` from sut/settings/settings.py: begin -->"
END = "<!-- made by `make docs`: end -->"
_NUMBERS = {int: "A whole number", float: "A number"}
_WIDTH = 120


def rows() -> str:
    """Every setting under the heading of its group."""
    groups = groupby(SETTINGS.values(), key=lambda row: row.group)
    return "\n\n".join(
        f"### {group[0].upper()}{group[1:]}\n\n" + "\n".join(map(_row, found)) for group, found in groups
    )


def replaced(page: str) -> str:
    """The page with a new marked part."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{rows()}\n\n{END}{rest.partition(END)[2]}"


def _row(row: Setting) -> str:
    names = ", ".join(f"`{name} {row.metavar}`".replace(" `", "`") for name in row.flags)
    refusing = [f"`{verb}`" for verb in WITH_SETTINGS if verb not in row.verbs]
    facts = [
        f"{row.help}.",
        f"{_NUMBERS[row.kind]}{_limit(row)}." if row.kind in _NUMBERS else "",
        f"Default: {row.otherwise}.",
        f"Not a flag of {', '.join(refusing)}." if refusing else "",
    ]
    text = f"* {names}: {' '.join(filter(None, facts))}".replace("<", "&lt;")
    return textwrap.fill(text, _WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def _limit(row: Setting) -> str:
    lowest = f" above {row.above:g}" if row.above is not None else ""
    lowest = f" from {row.least:g} on" if row.least is not None else lowest
    return lowest + (f", in {row.unit}" if row.unit else "")


def main(argv: list[str]) -> int:
    """Write the marked part of each page."""
    for path in map(Path, argv):
        path.write_text(replaced(path.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(program.run(lambda: main(sys.argv[1:])))
