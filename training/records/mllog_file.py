"""The file of MLLOG lines: one JSON object a line, appended whole, and continued after a restart.

A key that a checker allows once is written once in the life of a run, however often its processes start: what the file
has already is not written again. The checkers search lines for names of keys as plain text, so in text that a user
gives those are written with an escape.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from foundation import bounded_readers
from foundation.bounded_readers import UnreadableError
from foundation.typed_json import decode
from sut.errors import UsageError
from training.records.appended_lines import AppendedLines

NAME = "mllog.txt"
MARK = ":::MLLOG "
EventType = Literal["POINT_IN_TIME", "INTERVAL_START", "INTERVAL_END"]
_MOST_BYTES = 256 << 20
# What the checkers look for anywhere in a line.
_SEARCHED = ("eval_accuracy", "eval_error", "global_batch_size", "submission_benchmark", "train_samples", "run_stop")
_SEARCH = re.compile("|".join((*_SEARCHED, MARK.strip())))
_PLACES = ("epoch_num", "first_epoch_num")  # metadata that tell lines of one key apart
_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, kw_only=True)
class MllogLine:
    """One line, as the checkers read it."""

    key: str
    value: object
    event_type: EventType
    time_ms: int | float
    metadata: Mapping[str, object]


class MllogFile:
    """Appends lines; opened on the file of an earlier start, it continues it.

    Example, with the file of a run that was killed after `run_start`:

        log.interval_start("run_start")   # not written a second time
        log.point("eval_accuracy", 0.41, epoch_num=4096)
    """

    def __init__(self, path: Path, *, echo: bool = False, now_ms: Callable[[], int] | None = None) -> None:
        """Open `path` to append; a last line without its end, of a process that was killed, is cut off.

        A file in which no training began is started over: nothing of it counts.

        Args:
            echo: whether each line goes to standard output, too.
            now_ms: the clock, in milliseconds since 1970.

        Raises:
            UsageError: what is at `path` is not such a log.
            RunFailedError: the file cannot be written.
        """
        self.path, self._echo, self._now_ms = path, echo, now_ms or (lambda: time.time_ns() // 1_000_000)
        self._known: dict[tuple[str, ...], object] = {}
        self._file = AppendedLines(path)
        if self._file.size:
            self._continue()

    def close(self) -> None:
        self._file.close()

    def has(self, key: str) -> bool:
        """Whether a line with this key is in the file."""
        return any(place[0] == key for place in self._known)

    def places(self, key: str) -> set[int]:
        """The epoch numbers of the lines with this key."""
        return {int(place[1]) for place in self._known if place[0] == key and place[1:] and place[1].isdecimal()}

    def point(self, key: str, value: object = None, **metadata: object) -> None:
        """Log a value, once.

        Raises:
            UsageError: the file has another value for a key without an epoch number: it is another run's.
            RunFailedError: the file cannot be written.
        """
        self._once("POINT_IN_TIME", key, value, metadata)

    def interval_start(self, key: str, **metadata: object) -> None:
        """Log the start of an interval, once."""
        self._once("INTERVAL_START", key, None, metadata)

    def interval_end(self, key: str, **metadata: object) -> None:
        """Log the end of an interval, once."""
        self._once("INTERVAL_END", key, None, metadata)

    def repeat(self, key: str, value: object = None, **metadata: object) -> None:
        """Log a value that may come more than once, such as a restart."""
        self._append("POINT_IN_TIME", key, value, metadata)

    def _continue(self) -> None:
        lines = read(self.path)
        if any(line.key == "run_start" for line in lines):
            self._known = {_place(line.key, line.metadata): line.value for line in lines}
        else:
            self._file.start_over()

    def _once(self, event_type: EventType, key: str, value: object, metadata: Mapping[str, object]) -> None:
        place = _place(key, metadata)
        if place in self._known and self._known[place] == value:
            return
        if place in self._known and len(place) == 1:
            raise UsageError(
                f"expected {key} {json.dumps(self._known[place])} as in {self.path}, the log of this run, "
                f"found {json.dumps(value)}. Type: another --output, or the settings of that run."
            )
        self._append(event_type, key, value, metadata)  # also an evaluation that was made again and differs: both count
        self._known[place] = value

    def _append(self, event_type: EventType, key: str, value: object, metadata: Mapping[str, object]) -> None:
        head = {"namespace": "", "time_ms": self._now_ms(), "event_type": event_type, "key": key}
        rest = {"value": value, "metadata": {**_caller(), **metadata}}
        text = f"{MARK}{json.dumps(head)[:-1]}, {_shielded(json.dumps(rest))[1:]}"
        self._file.append(text)
        if self._echo:
            print(text, flush=True)


def read(path: Path) -> list[MllogLine]:
    """The lines of a log; text before a line's mark and lines without one are skipped, as the checkers do.

    Raises:
        UsageError: it cannot be read, or a line is no MLLOG line; the message names it.
    """
    try:
        content = bounded_readers.read_bytes(path, _MOST_BYTES)
    except UnreadableError as error:
        raise _unreadable(path, "a log of MLLOG lines", error) from error
    return list(_lines(path, content.decode("latin-1").splitlines()))


def _lines(path: Path, lines: Iterable[str]) -> Iterable[MllogLine]:
    for number, line in enumerate(lines, 1):
        _, mark, text = line.rpartition(MARK)
        if mark:
            try:
                yield decode(MllogLine, bounded_readers.parse_json(text))
            except UnreadableError as error:
                raise _unreadable(path, f"an MLLOG line in line {number}", error) from error


def _unreadable(path: Path, expected: str, error: UnreadableError) -> UsageError:
    return UsageError(f"expected {expected} of {path}, found {error}. Type another file, or remove it.")


def _place(key: str, metadata: Mapping[str, object]) -> tuple[str, ...]:
    return (key, *(str(metadata[name]) for name in _PLACES if name in metadata))


def _caller() -> dict[str, object]:
    """The file, relative to this project, and the line that log, as the seed checker wants to know."""
    frame = sys._getframe(1)
    while frame.f_code.co_filename == __file__ and frame.f_back:
        frame = frame.f_back
    file = Path(frame.f_code.co_filename)
    shown = file.relative_to(_ROOT).as_posix() if file.is_relative_to(_ROOT) else file.name
    return {"file": shown, "lineno": frame.f_lineno}


def _shielded(text: str) -> str:
    """JSON with escapes in what the checkers take for a key: of second letters, since the first may end a `\\t`."""
    return _SEARCH.sub(lambda found: f"{found[0][0]}\\u{ord(found[0][1]):04x}{found[0][2:]}", text)
