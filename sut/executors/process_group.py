"""The main process's side of `instance.py`: starts the instance processes and reports why each one exited.

groups(places, forked=True)     one loader per NUMA node, so that weights are in the memory of the node that reads them
groups(places, forked=False)    each instance is a process that loads the model itself
"""

from __future__ import annotations

import multiprocessing as mp
import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection

from foundation.program import INTERRUPTS
from sut.errors import RunFailedError
from sut.executors.answer_slots import AnswerSlots
from sut.executors.instance import InstanceExit, Link, serve
from sut.executors.worker import WorkerSpec
from sut.machine import topology
from sut.machine.topology import Place

_REPORT_S = 2.0  # how long to wait for the exit report of an instance
_CAUSES = {signal.SIGBUS: ": a file that it reads by a map was cut short, such as an engine"}
CLOSE_S = 3.0  # how long processes may take to exit; a loader needs part of it for its instances
_KILL_S = 1.0  # likewise, once they are killed


class Group:
    """One spawned process: an instance, or the loader of several."""

    def __init__(self, spec: WorkerSpec, places: Sequence[Place], names: Sequence[str]) -> None:
        context = mp.get_context("spawn")
        self._reports, theirs = context.Pipe()
        pairs = [context.Pipe() for _ in places]
        self.names = names
        self.pipes = [ours for ours, _ in pairs]
        self.slots = [AnswerSlots(context, spec.max_tokens) for _ in places]
        links = [Link(pipe, slots) for (_, pipe), slots in zip(pairs, self.slots, strict=True)]
        self._is_loader = len(places) > 1
        # A loader has children, so it cannot be daemonic; this process closes it before it exits.
        self._process = context.Process(target=serve, args=(spec, places, links, theirs), daemon=not self._is_loader)
        self._process.start()
        for _, pipe in (*pairs, (None, theirs)):
            pipe.close()
        self._ended: dict[int, InstanceExit] = {}
        self._error: Exception | None = None

    @property
    def handles(self) -> list[Connection | int]:
        """Objects for a selector that become readable when an instance exits."""
        return [self._reports, self._process.sentinel] if self._is_loader else [self._process.sentinel]

    def process_of(self, number: int) -> str:
        """An instance and the process that loads it, for messages."""
        return f"{self.names[number]} ({'its loader has ' if self._is_loader else ''}pid {self._process.pid})"

    def has_ended(self, number: int) -> bool:
        """Whether this instance has exited."""
        self._read_reports(0.0)
        return number in self._ended or not self._process.is_alive()

    def exit_error(self, number: int) -> Exception:
        """The error that describes how this instance exited; waits for it for a short time."""
        if not self._is_loader:
            self._process.join(_REPORT_S)
            return _exit_failure(self.names[number], self._process.pid, self._process.exitcode)
        while number not in self._ended and self._error is None and self._read_reports(_REPORT_S):
            pass
        if self._error:
            return self._error
        if found := self._ended.get(number):
            return _exit_failure(self.names[number], found.pid, found.exit_code)
        self._process.join(_REPORT_S)
        return _exit_failure(f"the loader of {', '.join(self.names)}", self._process.pid, self._process.exitcode)

    def _read_reports(self, patience_s: float) -> bool:
        """Read one exit report; False if there is none or the pipe is closed."""
        try:
            if not self._is_loader or not self._reports.poll(patience_s):
                return False
            report = self._reports.recv()
        except (EOFError, OSError):
            return False
        if isinstance(report, InstanceExit):
            self._ended[report.number] = report
        else:
            self._error = report
        return True

    def close_pipes(self) -> None:
        """Close all pipes, which tells the process to exit after its current batch."""
        for pipe in (*self.pipes, self._reports):
            pipe.close()

    def kill(self) -> None:
        """Kill the process; the instances of a loader exit with it."""
        self._process.kill()

    def end(self, until_s: float) -> None:
        """Wait for the process to exit until this time of `time.monotonic`, then kill it."""
        self._process.join(max(0.0, until_s - time.monotonic()))
        self.kill()
        self._process.join(_KILL_S)  # one that waits for a device cannot even be killed


def start(spec: WorkerSpec, places: Sequence[Place], *, forked: bool) -> Iterator[Group]:
    """Start all instances, numbered in the order of their places. Ctrl-C is raised after the last one."""
    names = [f"instance-{number}" for number in range(len(places))]
    by_group: dict[int, list[int]] = {}
    for number, place in enumerate(places):
        by_group.setdefault(place.node if forked else number, []).append(number)
    resource_tracker.ensure_running()  # otherwise a later start of it unblocks the signals
    with _interrupts_held(), _environment(topology.environment(forked) | dict(spec.environment)):
        for numbers in by_group.values():
            yield Group(spec, [places[number] for number in numbers], [names[number] for number in numbers])


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set these variables for processes that are started inside the block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Delay Ctrl-C and its like: an interrupted start leaves a child that cannot read its arguments.

    The signals are blocked, which children inherit while they import; and caught, because the kernel delivers a
    process's signal to any thread that has not blocked it, such as one of numpy's.
    """
    held: list[int] = []
    handlers = {number: signal.signal(number, lambda found, _: held.append(found)) for number in INTERRUPTS}
    signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, INTERRUPTS)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for again in held:
            signal.raise_signal(again)


def _exit_failure(name: str, pid: int | None, exit_code: int | None) -> RunFailedError:
    return RunFailedError(f"{name} (pid {pid}) died with {_exit_text(exit_code)}.")


def _exit_text(exit_code: int | None) -> str:
    if exit_code is None or exit_code >= 0:
        return f"exit code {exit_code}"
    with suppress(ValueError):  # real-time signals have no name
        number = signal.Signals(-exit_code)
        return f"signal {number.name}{_CAUSES.get(number, '')}"
    return f"signal {-exit_code}"
