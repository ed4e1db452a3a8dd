"""The table of settings as text: for `--settings`, and as Markdown for the marked part of the guide.

python -m training.loop.settings_list PAGE
"""

from __future__ import annotations

import sys
import textwrap
from itertools import groupby
from pathlib import Path

from foundation import program
from sut.settings.setting import Setting
from training.loop.settings import ELSEWHERE, SETTINGS

BEGIN = "<!-- made by `make docs` from training/loop/settings.py: begin -->"
END = "<!-- made by `make docs`: end -->"
_WIDTH = 120


def lines() -> str:
    """Every setting with its default, under the heading of its group."""
    groups = groupby(SETTINGS.values(), key=lambda row: row.group)
    return "\n\n".join(f"{group}:\n" + "\n".join(map(_line, found)) for group, found in groups)


def _line(row: Setting) -> str:
    text = f"  {row.name}: {row.help} (default: {row.otherwise})"
    return textwrap.fill(text, _WIDTH, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)


def markdown() -> str:
    """Every setting as an item, and FlagPerf's names that have no place here."""
    groups = groupby(SETTINGS.values(), key=lambda row: row.group)
    parts = [f"{group[0].upper()}{group[1:]}:\n\n" + "\n".join(map(_item, found)) for group, found in groups]
    refused = "\n".join(_wrapped(f"* `{name}`: {reason}.") for name, reason in ELSEWHERE.items())
    return "\n\n".join([*parts, f"FlagPerf's names that are refused, with the reason:\n\n{refused}"])


def _item(row: Setting) -> str:
    also = f" (also {', '.join(f'`{name}`' for name in row.aliases)})" if row.aliases else ""
    unit = f" In {row.unit}." if row.unit else ""
    return _wrapped(f"* `{row.name}`{also}: {row.help}.{unit} Default: {row.otherwise}.")


def _wrapped(text: str) -> str:
    return textwrap.fill(text, _WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def replaced(page: str) -> str:
    """The page with a new marked part."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{markdown()}\n\n{END}{rest.partition(END)[2]}"


def main(argv: list[str]) -> int:
    """Write the marked part of each page."""
    for path in map(Path, argv):
        path.write_text(replaced(path.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(program.run(lambda: main(sys.argv[1:])))
