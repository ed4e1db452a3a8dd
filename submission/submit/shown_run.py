"""What a person sees of one of a submission's runs: a live line while it is made, then a line with its result.

The run's own output is not shown unless it fails: run.json has it all, and the package's summary follows.
"""

from __future__ import annotations

from collections.abc import Iterator

from foundation.foreign_text import printable
from foundation.live_line import LiveLine, width
from foundation.people_numbers import clock
from sut.record.run_record import RunRecord
from sut.reporting import headline

_COLUMNS = 100  # of a run's states where there is no terminal
_VERDICT = 10  # columns


class ShownRun:
    """The live line of a run.

    Args:
        label: such as "[2/6] Offline accuracy".
        expected_s: how long the run takes.
        after_s: how long the runs after it take.
    """

    def __init__(self, label: str, expected_s: float, after_s: float) -> None:
        self._label, self._line = label, LiveLine(slowing=0.2)
        after = f", then {clock(after_s)} of runs remain" if after_s else ""
        self._line.update(f"{label}: about {clock(expected_s)}{after}")

    @property
    def columns(self) -> int:
        """Of the run's own states."""
        return max((width() or _COLUMNS) - len(self._label.rstrip()) - 2, 1)

    def update(self, text: str) -> None:
        """A line, or a state of a live line, that the run has written."""
        if text.endswith("\r") and text.strip():
            self._line.update(f"{self._label.rstrip()}: {text.strip()}")

    def end(self) -> None:
        self._line.end()


def row(label: str, record: RunRecord, seconds: float) -> str:
    """The result of a run on one line."""
    return printable(
        f"{label}  {record.verdict:<{_VERDICT}} {clock(seconds):>6}  {headline.of(record) or 'no figure'}".rstrip()
    )


def remarks(record: RunRecord) -> Iterator[str]:
    """What its result is not to be read without."""
    if record.verdict == "INVALID":
        yield from (f"why: {reason}" for reason in record.reasons)
    yield from (f"warning: {text}" for text in record.warnings or ())
