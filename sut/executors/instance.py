"""The code of an instance's process, and of a loader, which forks instances that share one copy of the weights.

A group of one is an instance. A larger group starts as a loader: it loads features and backend once, with one thread,
because threads do not survive a fork, and forks the instances; then it waits for them and reports how each exited.

    main process ── jobs, answers ──▶ instance    one pipe each; closing it tells the instance to exit
    main process ◀─ exit reports ──── loader      how instances exited; closing it tells the loader to stop them

Ctrl-C and the end of a terminal reach all of its processes. The main process handles them, so these ignore them. None
outlives the main process, even if it is killed: the loader and single instances watch it, and forked instances watch
their loader.
"""

from __future__ import annotations

import multiprocessing as mp
import os
import pickle
import signal
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from backends.base import Pending
from foundation import freed_memory, terminal
from foundation.program import INTERRUPTS
from sut.errors import RunFailedError, UserError
from sut.executors import parent_watch, pipe_messages
from sut.executors.answer_slots import AnswerSlots
from sut.executors.base import JOBS_PER_INSTANCE, Answer, Ready
from sut.executors.worker import Worker, WorkerSpec
from sut.machine import limits
from sut.machine.topology import Place

_CLOSE_S = 1.0  # how long forked instances may take to exit


@dataclass(frozen=True)
class InstanceExit:
    """The loader's report of an instance that exited."""

    number: int  # within the group
    pid: int
    exit_code: int


@dataclass(frozen=True)
class Link:
    """An instance's connection to the main process."""

    pipe: Connection
    slots: AnswerSlots


def serve(spec: WorkerSpec, places: Sequence[Place], links: Sequence[Link], reports: Connection) -> None:
    """The main function of a spawned process; returns when its pipes are closed. One link for each place."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, INTERRUPTS)
    terminal.secure()
    is_loader = len(places) > 1
    with _reporting(reports if is_loader else links[0].pipe):
        if is_loader:
            _load_and_fork(spec, places, links, reports)
        else:
            places[0].pin()
            parent_watch.start()
            _redirect_output(spec)
            _run_alone(replace(spec, options=replace(spec.options, gpu=places[0].gpu)), links[0])


@contextmanager
def _reporting(main: Connection) -> Iterator[None]:
    """Send the main process an error of the machine's limits, where it would see only an exit code."""
    try:
        with limits.named("start an instance"):
            yield
    except RunFailedError as error:
        with suppress(OSError):
            main.send(error)


def _run_alone(spec: WorkerSpec, link: Link) -> None:
    with suppress(EOFError, OSError):  # the main process closed its end or exited
        try:
            worker = Worker(spec)
        except Exception as error:  # noqa: BLE001 - it is raised again in the main process
            link.pipe.send(portable(error))
            return
        _work(worker, link)


def _load_and_fork(spec: WorkerSpec, places: Sequence[Place], links: Sequence[Link], reports: Connection) -> None:
    on_node = {cpu for place in places for cpu in place.cpus}
    replace(places[0], cpus=tuple(on_node)).pin()
    with parent_watch.during():
        try:
            worker = Worker(replace(spec, options=replace(spec.options, threads=1)))
        except Exception as error:  # noqa: BLE001 - it is raised again in the main process
            reports.send(portable(error))
            return
    fork = mp.get_context("fork")
    children: list[BaseProcess] = []
    for number, place in enumerate(places):
        child = fork.Process(target=_run_forked, args=(worker, number, place, links, reports, spec.options.threads))
        child.start()
        children.append(child)
    for link in links:
        link.pipe.close()
    _watch(children, reports)


def _run_forked(
    worker: Worker, number: int, place: Place, links: Sequence[Link], reports: Connection, threads: int
) -> None:
    """The main function of a forked instance.

    It closes its copies of the siblings' pipes, so that the main process notices when a sibling exits."""
    for other in (*links[:number], *links[number + 1 :]):
        other.pipe.close()
    reports.close()
    with _reporting(links[number].pipe):
        place.pin()
        parent_watch.start()
        _redirect_output(worker.spec)
        worker.use_threads(threads)
        with suppress(EOFError, OSError):
            _work(worker, links[number])


def _redirect_output(spec: WorkerSpec) -> None:
    """Redirect the output of the engine to a file for this process."""
    if spec.verbose_dir:
        path = spec.verbose_dir / f"engine-{os.getpid()}.txt"
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(file, 1)
        os.close(file)


def _watch(children: Sequence[BaseProcess], reports: Connection) -> None:
    """Report each child's exit until all have exited, or the main process has asked to stop or died."""
    alive = dict(enumerate(children))
    main = mp.parent_process()
    assert main is not None
    ready: Sequence[object] = ()
    while alive and reports not in ready and main.sentinel not in ready:
        ready = wait([reports, main.sentinel, *(child.sentinel for child in alive.values())])
        for number in [number for number, child in alive.items() if child.sentinel in ready]:
            child = alive.pop(number)
            child.join()
            with suppress(OSError):
                reports.send(InstanceExit(number, child.pid or 0, child.exitcode or 0))
    until_s = time.monotonic() + _CLOSE_S
    for child in alive.values():
        child.join(max(0.0, until_s - time.monotonic()))
        child.kill()
        child.join()


def _work(worker: Worker, link: Link) -> None:
    """Warm up, wait for all instances, measure the speed with all of them running, then answer job after job."""
    pipe = link.pipe
    freed_memory.keep()
    if not _report(pipe, worker.warm_up):
        return
    pipe.recv()
    if not _report(pipe, worker.measure):
        return
    in_flight: deque[Pending[Answer]] = deque()
    try:
        while True:
            if _is_next_first(pipe, in_flight):
                in_flight.append(worker.begin(pipe_messages.receive_work(pipe)))
            else:
                pipe_messages.send_answer(pipe, _sent(link.slots, in_flight.popleft().answers()))
    finally:
        worker.close()


def _report(pipe: Connection, step: Callable[[], Ready | None]) -> bool:
    """Take a step of the engine and send what it returns, or its error; False after an error.

    Only the engine's own errors are sent: an OSError of the pipe means that the main process is gone."""
    try:
        found = step()
    except Exception as error:  # noqa: BLE001 - it is raised again in the main process
        pipe.send(portable(error))
        return False
    pipe.send(found)
    return True


def _is_next_first(pipe: Connection, in_flight: deque[Pending[Answer]]) -> bool:
    """Whether to start another job before the oldest one's outputs are ready, so that an engine is never idle.

    Busy-waits for whichever comes first: this thread has no other work, and a sleep would add latency.
    """
    if not in_flight or len(in_flight) >= JOBS_PER_INSTANCE:
        return not in_flight
    while not in_flight[0].is_ready():
        if pipe.poll():
            return True
    return False


def _sent(slots: AnswerSlots, answer: Answer) -> Answer:
    """The answer in the form that is sent through the pipe."""
    return slots.put(answer if answer.error is None else answer._replace(error=portable(answer.error)))


def portable(error: Exception) -> Exception:
    """The error itself if it can be pickled, else its text.

    A defect of ours gets its traceback as a note: the main process would show only where it raised the error again.
    """
    if not isinstance(error, UserError):
        error.add_note(f"In the instance (pid {os.getpid()}):\n{''.join(traceback.format_exception(error))}")
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - its own bytes
    except Exception:  # noqa: BLE001 - pickling can raise anything; the text is always sent
        return RunFailedError(f"{type(error).__name__}: {error}")
    return error
