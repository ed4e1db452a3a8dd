"""`python -m sut check PATH --round v6.1`: would the official checkers of that round accept this submission?

PATH is the directory that holds closed/ or open/, a tarball of it, or the output directory of `submit`. Exit code 0 if
the checks pass, 1 if a check fails, 2 for a path or a round that does not exist.
"""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

from foundation.foreign_text import printable
from foundation.people_numbers import count
from submission.check import archive, tree
from submission.check.failure import Failure, RefusedError
from submission.check.verdict import Verdict, examine
from submission.rules import rounds
from submission.submit import workspace
from sut.errors import INVALID, VALID, UsageError
from sut.settings.parser import Parser, new_parser

SHOWN_FILES = 100  # on the terminal


def main(argv: list[str]) -> int:
    """The verb `check`."""
    args = parser().read(argv)
    verdict = check(args.path, args.round, as_trial=args.trial, ignore_marker=args.official)
    if args.json:
        print(json.dumps(record(args.path, verdict), indent=2))
    else:
        show(verdict)
    return VALID if verdict.holds else INVALID


def check(path: Path, round_name: str, *, as_trial: bool = False, ignore_marker: bool = False) -> Verdict:
    """The verdict on a directory or a tarball. Raises UsageError if `path` is neither."""
    rules = rounds.find(round_name)
    try:
        with _directory(path) as root:
            return examine(tree.read(root), rules, as_trial=as_trial, ignore_marker=ignore_marker)
    except RefusedError as error:  # it could not be opened
        return Verdict(rules.name, (), (error.failure,), (), False)


@contextmanager
def _directory(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield workspace.tree_in(path) or path
    elif path.is_file():
        with archive.opened(path) as root:
            yield root
    else:
        raise UsageError(f"expected a submission's directory or tarball, found nothing at {path}. Is the path right?")


def parser() -> Parser:
    """The command line of `check`."""
    found = new_parser("check", (__doc__ or "").partition("\n\n")[2])
    found.add_argument("path", type=Path, metavar="PATH", help="a directory that holds closed/ or open/, or a .tar.gz")
    found.add_argument("--round", default=rounds.LATEST, help=f"{', '.join(rounds.ROUNDS)} (default: %(default)s)")
    found.add_argument("--json", action="store_true", help="print one JSON object")
    strictness = found.add_mutually_exclusive_group()
    strictness.add_argument(
        "--trial", action="store_true", help="do not apply the rules on length and counts in the open division"
    )
    strictness.add_argument(
        "--official", action="store_true", help=f"apply them even if {rounds.TRIAL_MARKER} marks it as a trial"
    )
    return found


def record(path: Path, verdict: Verdict) -> dict[str, object]:
    """The verdict for --json."""
    return {"path": str(path), "holds": verdict.holds, **asdict(verdict)}


def show(verdict: Verdict) -> None:
    """Print the verdict: wrapped on a terminal, otherwise one line per rule."""
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for line in lines(verdict):
        print(_fitted(line, columns) if columns else line)


def _fitted(line: str, columns: int) -> str:
    indent = " " * (len(line) - len(line.lstrip()) + 4)
    return textwrap.fill(line, columns, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def lines(verdict: Verdict) -> Iterator[str]:
    """The verdict as text: failures by file, then a summary line."""
    yield from _by_file(verdict.failures)
    if verdict.is_trial:
        yield "Trial package: official rules on length and counts were not applied. It would break these:"
        yield from _by_rule(verdict.waived)
    if verdict.warnings:
        yield "Warning: no official checker refuses this, but it loses results afterwards:"
        yield from _by_file(verdict.warnings)
    yield _sum(verdict)


def _by_file(failures: tuple[Failure, ...]) -> Iterator[str]:
    by_file = groupby(sorted(failures, key=lambda one: one.file), lambda one: one.file)
    for shown, (file, of_file) in enumerate(by_file):
        if shown == SHOWN_FILES:
            yield "… and other files. Type: --json, for all of them."
            return
        yield printable(file)
        for one in of_file:
            yield printable(f"  {one.rule}: found {one.found}; expected {one.wanted}")
            yield printable(f"      {one.todo}")


def _by_rule(waived: tuple[Failure, ...]) -> Iterator[str]:
    """The waived failures, one line per kind; --json has the files."""
    files = Counter((one.rule, one.found, one.wanted) for one in waived)
    for (rule, found, wanted), number in files.items():
        yield printable(f"  {rule}: found {found}; expected {wanted} ({count(number, 'file')})")
    if not waived:
        yield "  none of them"


def _sum(verdict: Verdict) -> str:
    what = f"{verdict.round}, {count(len(verdict.results), 'result')}:"
    if not verdict.holds:
        files = len({one.file for one in verdict.failures})
        return f"{what} REFUSED, {count(len(verdict.failures), 'failure')} in {count(files, 'file')}"
    if verdict.waived:
        return f"{what} OK as a trial run; not submittable ({count(len(verdict.waived), 'failure')} waived)"
    return f"{what} OK"
