"""One rule that a submission breaks, as a record: for the terminal, for JSON, and for tests to compare.

A reader that cannot go on raises RefusedError with its record, so that no check needs to look for what another reports.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath


@dataclass(frozen=True)
class Failure:
    """`rule` is "family.rule"; `todo` says what to do about it."""

    file: str
    rule: str
    found: str
    wanted: str
    todo: str

    @property
    def family(self) -> str:
        return self.rule.partition(".")[0]


class RefusedError(Exception):
    """What was to be read cannot be: `failure` says why, and the rest of that check is left out."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"{failure.file}: {failure.found}")
        self.failure = failure


def missing(path: PurePosixPath, todo: str = "Put it there.") -> Failure:
    """A file that a round requires; the same record whoever misses it, so that it is shown once."""
    return Failure(str(path), "files.missing", "no such file", "the file", todo)


def printable(text: str) -> str:
    """What a stranger's file says or is called, with nothing in it that a terminal would obey."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
