"""A rule that a submission breaks, as a record: for the terminal, for JSON and for comparison in tests.

A reader that cannot continue raises RefusedError with its record, so that no check repeats what another one reports.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Failure:
    """`rule` is "family.rule", `wanted` what was expected, `todo` how to fix it; `check --json` prints these names."""

    file: str
    rule: str
    found: str
    wanted: str
    todo: str

    @property
    def family(self) -> str:
        return self.rule.partition(".")[0]


class RefusedError(Exception):
    """A file cannot be read: `failure` says why, and the rest of that check is skipped."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"{failure.file}: {failure.found}")
        self.failure = failure
