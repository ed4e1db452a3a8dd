"""How a worker process ended, and the pipe on which it says so to the agent that started it: a JSON object a line.

A process that is killed says nothing, so the agent needs no file that an earlier run could have left.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Literal

from foundation.errors import FAILED
from sut.errors import RunFailedError

# finished: the training ended, whether or not it reached its target. refused: an error for a person, which would come
# again. interrupted: it was asked to end. fault: anything else, after which the workers are started again.
Kind = Literal["finished", "refused", "interrupted", "fault"]
_KINDS: tuple[Kind, ...] = ("refused", "fault", "interrupted", "finished")
_LONGEST_LINE = 64 * 1024
_HINTS = {signal.SIGKILL: "; the kernel does that when memory is short", signal.SIGBUS: "; is a file cut short?"}


class ProcessLostError(RunFailedError):
    """Another process of the run is gone or silent: its own error says why, and the workers are started again."""


@dataclass(frozen=True)
class Ending:
    """How a worker, or a whole run, ended.

    Attributes:
        code: exit code of the command, if the run ends for this reason.
        text: one line for a person, without "error:".
        is_secondary: it reports what the process saw of another one's end, such as a closed connection.
    """

    kind: Kind
    code: int
    text: str = ""
    is_secondary: bool = False

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str | bytes) -> Ending:
        return Ending(**json.loads(text))


@dataclass
class Reports:
    """The agent's end of a worker's pipe.

    Attributes:
        ending: what the worker has said about its end.
        step: of the newest checkpoint that it has written.
    """

    descriptor: int
    ending: Ending | None = None
    step: int = 0
    _rest: bytes = field(default=b"", repr=False)

    def read(self) -> None:
        """Take what has come; never waits."""
        with suppress(BlockingIOError):
            while chunk := os.read(self.descriptor, _LONGEST_LINE):
                *lines, self._rest = (self._rest + chunk).split(b"\n")
                for line in lines:
                    self._take(json.loads(line))

    def _take(self, report: dict[str, object]) -> None:
        if isinstance(step := report.get("step"), int):
            self.step = step
        else:
            self.ending = Ending(**report)  # type: ignore[arg-type]  # our own process wrote it

    def close(self) -> None:
        os.close(self.descriptor)


def of_exit(rank: int, pid: int, exit_code: int, log: str) -> Ending:
    """Of a process that ended without a word."""
    if exit_code >= 0:
        return Ending("fault", FAILED, f"rank {rank} (pid {pid}) ended with exit code {exit_code}. See {log}.")
    name, hint = f"signal {-exit_code}", ""
    with suppress(ValueError):  # real-time signals have no name
        number = signal.Signals(-exit_code)
        name, hint = number.name, _HINTS.get(number, "")
    return Ending("fault", FAILED, f"rank {rank} (pid {pid}) was killed by {name}{hint}.")


def root_cause(endings: Iterable[Ending]) -> Ending:
    """The one that explains the other ones: what a process saw of another one's end explains nothing."""
    return min(endings, key=lambda one: (_KINDS.index(one.kind), one.is_secondary))
