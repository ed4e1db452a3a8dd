"""`python -m sut help [VERB]`, and `python -m sut --help`: the verbs by what they are for, or the help of one verb."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

from sut.settings.parser import PROG, Parser, new_parser, two_columns
from sut.settings.verbs import GROUPS, VERBS

_FIRST = {
    "": "a trial run of the demo",
    "doctor": "what works on this machine",
    "run --mode accuracy": "with exact_match and F1",
    "run --help": "the flags of a run, which needs no verb",
    "help VERB": "the flags of a verb, as VERB --help",
}
EXIT_CODES = "Exit code: 0 valid, 1 invalid or accuracy missed, 2 usage, 3 failed."


def main(argv: Sequence[str]) -> int:
    """The verb `help`."""
    verb = parser().read(argv).verb
    print(overview() if verb is None else parser_of(verb).format_help(), end="")
    return 0


def parser() -> Parser:
    """The command line of `help`."""
    found = new_parser("help")
    found.add_argument("verb", nargs="?", choices=tuple(VERBS), metavar="VERB", help="the verb (default: all of them)")
    return found


def overview() -> str:
    """The first screen: how to begin, and a line for each verb."""
    first = two_columns({f"{PROG} {words}".rstrip(): about for words, about in _FIRST.items()})
    width = max(map(len, VERBS))
    groups = (
        f"{title}:\n{two_columns({name: row.help for name, row in rows.items()}, width)}"
        for title, rows in GROUPS.items()
    )
    return "\n\n".join((f"usage: {PROG} [VERB] [FLAGS]", first, *groups, f"{EXIT_CODES}\n"))


def parser_of(verb: str) -> Parser:
    """The parser of a verb; its module is imported."""
    found: Parser = import_module(VERBS[verb].parser_module or VERBS[verb].module).parser()
    return found
