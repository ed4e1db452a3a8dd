"""How a worker ended: what its pipe and its exit code say, and which of several endings explains the other ones."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator

import pytest

from training.launch.endings import Ending, Reports, of_exit, root_cause

NAN = Ending("refused", 3, "rank 1: expected a finite loss, found nan.")
KILLED = of_exit(1, 77, -signal.SIGKILL, "rank1.log")
LOST = Ending("fault", 3, "rank 0: lost another process.", is_secondary=True)
INTERRUPTED = Ending("interrupted", 3, "interrupted.")
FINISHED = Ending("finished", 0)


@pytest.fixture
def pipe() -> Iterator[tuple[Reports, int]]:
    ours, theirs = os.pipe()
    os.set_blocking(ours, False)
    yield Reports(ours), theirs
    os.close(ours)


def test_reports_are_read_as_they_come(pipe: tuple[Reports, int]) -> None:
    reports, theirs = pipe
    reports.read()
    assert (reports.step, reports.ending) == (0, None)
    line = json.dumps({"step": 12}).encode() + b"\n"
    os.write(theirs, line[:5])
    reports.read()
    assert reports.step == 0
    os.write(theirs, line[5:] + NAN.to_json().encode() + b"\n")
    os.close(theirs)
    reports.read()
    assert (reports.step, reports.ending) == (12, NAN)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (-signal.SIGKILL, "rank 3 (pid 77) was killed by SIGKILL; the kernel does that when memory is short."),
        (-signal.SIGSEGV, "rank 3 (pid 77) was killed by SIGSEGV."),
        (-40, "rank 3 (pid 77) was killed by signal 40."),
        (0, "rank 3 (pid 77) ended with exit code 0. See logs/rank3.log."),
        (1, "rank 3 (pid 77) ended with exit code 1. See logs/rank3.log."),
    ],
)
def test_an_end_without_a_word_is_a_fault(code: int, text: str) -> None:
    assert of_exit(3, 77, code, "logs/rank3.log") == Ending("fault", 3, text)


@pytest.mark.parametrize(
    ("endings", "cause"),
    [
        ([LOST, KILLED], KILLED),
        ([LOST, NAN, KILLED], NAN),
        ([INTERRUPTED, LOST], LOST),
        ([FINISHED, INTERRUPTED], INTERRUPTED),
    ],
)
def test_the_root_cause_explains_the_other_endings(endings: list[Ending], cause: Ending) -> None:
    assert root_cause(endings) == cause == root_cause(reversed(endings))


def test_an_ending_survives_its_text() -> None:
    assert Ending.from_json(LOST.to_json()) == LOST
