"""--help of a command that shows its module's docstring: text is wrapped to the terminal, commands are left alone."""

from __future__ import annotations

import argparse
import functools
import textwrap


class HelpFormatter(argparse.HelpFormatter):
    """Of a description, each paragraph that holds no command is wrapped."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = text.strip().split("\n\n")
        wrap = functools.partial(textwrap.fill, width=width, initial_indent=indent, subsequent_indent=indent)
        return "\n\n".join(one if "python -m" in one else wrap(one, break_on_hyphens=False) for one in paragraphs)
