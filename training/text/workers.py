"""Runs jobs in processes. What comes out does not depend on their number; the first failure ends them all.

Each process has a pipe to this one and nothing else, so that one that is killed is noticed, and one that outlives this
process reads the end of its pipe.
"""

from __future__ import annotations

import multiprocessing
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from foundation.errors import UserError
from training.text.errors import TextError

Job = TypeVar("Job")
Result = TypeVar("Result")


def run(
    work: Callable[[Job], Result], jobs: Sequence[Job], processes: int, done: Callable[[Job], None]
) -> list[Result]:
    """The results in the order of the jobs.

    Args:
        work: a function of a module.
        done: is called in this process after each job.

    Raises:
        TextError: a process was killed. Otherwise, what a job raised.
    """
    if min(processes, len(jobs)) <= 1:
        return list(_here(work, jobs, done))
    results: dict[int, Result] = {}
    left = iter(range(len(jobs)))
    with _processes(work, min(processes, len(jobs))) as pipes:
        busy: dict[Connection, int] = {}

        def give(pipe: Connection) -> None:
            number = next(left, None)
            if number is not None:
                busy[pipe] = number
                pipe.send(jobs[number])

        for pipe in pipes:
            give(pipe)
        while busy:
            for ready in wait(list(busy)):
                assert isinstance(ready, Connection)
                number = busy.pop(ready)
                results[number] = _received(ready, processes)
                done(jobs[number])
                give(ready)
    return [results[number] for number in range(len(jobs))]


def _here(work: Callable[[Job], Result], jobs: Sequence[Job], done: Callable[[Job], None]) -> Iterator[Result]:
    for job in jobs:
        yield work(job)
        done(job)


def _received(pipe: Connection, processes: int) -> Any:
    try:
        is_result, found = pipe.recv()
    except (EOFError, ConnectionError) as error:
        raise TextError(
            "expected every process to end its part, found one that was killed: memory may be full. "
            f"Type: --processes {max(1, processes // 2)}, or more --parts"
        ) from error
    if not is_result:
        raise found
    return found


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Processes that are started here never see Ctrl-C, which is for this one; it comes when the block ends."""
    resource_tracker.ensure_running()  # which lifts the block when it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _processes(work: Callable[[Any], object], number: int) -> Iterator[list[Connection]]:
    """Pipes to processes that do `work`; all have ended when the block has."""
    context = multiprocessing.get_context("spawn")  # not fork: libraries here have threads
    started = []
    try:
        for _ in range(number):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(work, theirs))
            with _without_interrupts():
                process.start()
            theirs.close()
            started.append((process, ours))
        yield [pipe for _, pipe in started]
    except BaseException:
        for process, _ in started:
            process.terminate()
        raise
    finally:
        for process, pipe in started:
            pipe.close()
            process.join()


def _serve(work: Callable[[Any], object], pipe: Connection) -> None:
    """In a new process: do jobs until the pipe ends."""
    with suppress(EOFError, ConnectionError):
        while True:
            pipe.send(_reply(work, pipe.recv()))


def _reply(work: Callable[[Any], object], job: object) -> tuple[bool, object]:
    try:
        return True, work(job)
    except Exception as error:  # noqa: BLE001 - raised again in the parent
        if not isinstance(error, UserError):
            error.add_note(traceback.format_exc())  # which does not go through a pipe
        return False, error
