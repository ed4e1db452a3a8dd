"""steps.csv: a row for each optimizer step, from which the plot is drawn and any other may be.

Rows are only appended. After a restart some steps are trained again; a reader takes a step's last row.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from foundation import bounded_readers
from foundation.bounded_readers import UnreadableError
from sut.errors import UsageError
from training.loop import events
from training.loop.events import Event
from training.records.appended_lines import AppendedLines

NAME = "steps.csv"
_BEFORE = ("step", "samples", "loss")
_AFTER = ("learning_rate", "gradient_norm", "seconds", "computing_s", "step_samples", "tokens", "memory_bytes")
_MOST_BYTES = 1 << 30


@dataclass(frozen=True)
class StepRow:
    """What is read of a step."""

    step: int
    samples: int
    loss: float


class StepsTable:
    """A listener that appends to steps.csv in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._file = AppendedLines(folder / NAME)

    def __call__(self, event: Event) -> None:
        if isinstance(event, events.StepDone):
            self._row(event)
        elif isinstance(event, events.RunEnded):
            self._file.close()

    def _row(self, event: events.StepDone) -> None:
        if not self._file.size:
            self._file.append(",".join((*_BEFORE, *event.parts, *_AFTER)))
        values = (*(getattr(event, name) for name in _BEFORE), *event.parts.values())
        after = (getattr(event, name) for name in _AFTER)
        self._file.append(",".join(map(_cell, (*values, *after))))


def read(folder: Path) -> list[StepRow]:
    """The steps of the run in `folder`, each once, in order; empty if the run has no table.

    Raises:
        UsageError: the table is broken.
    """
    path = folder / NAME
    if not path.exists():
        return []
    try:
        return _latest(_parsed(bounded_readers.read_text(path, _MOST_BYTES)))
    except UnreadableError as error:
        raise UsageError(f"expected the steps of a training run in {path}, found {error}. Remove the file.") from error


def _cell(value: float | None) -> str:
    return f"{value:.9g}" if isinstance(value, float) else "" if value is None else str(value)


def _parsed(text: str) -> list[StepRow]:
    lines = csv.reader(text.splitlines())
    if tuple(next(lines, ())[: len(_BEFORE)]) != _BEFORE:
        raise UnreadableError(f"another first line than {','.join(_BEFORE)},…")
    try:
        return [StepRow(int(float(row[0])), int(float(row[1])), float(row[2])) for row in lines]
    except (ValueError, OverflowError, IndexError, csv.Error) as error:
        raise UnreadableError(f"a row without three numbers at its start ({error})") from error


def _latest(rows: Sequence[StepRow]) -> list[StepRow]:
    found: list[StepRow] = []
    for row in rows:
        while found and found[-1].step >= row.step:
            found.pop()
        found.append(row)
    return found
