"""The main process's side of `instance.py`: starts processes, knows what each instance's death was.

groups(places, forked=True)     one loader per NUMA node, so that weights lie on the node where they are read
groups(places, forked=False)    each instance a process that loads for itself
"""

from __future__ import annotations

import multiprocessing as mp
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection

from sut.errors import RunFailedError
from sut.executors.answer_slots import Slots
from sut.executors.instance import INTERRUPTS, Ended, Link, live
from sut.executors.worker import WorkerSpec
from sut.machine import topology
from sut.machine.topology import Place

_NOTE_S = 2.0  # how long the word of an instance's death may take to come
_CLOSE_S = 3.0  # how long processes may take to end by themselves; a loader needs some of it for its instances


class Group:
    """One spawned process: an instance, or the loader of several."""

    def __init__(self, spec: WorkerSpec, places: Sequence[Place], names: Sequence[str]) -> None:
        context = mp.get_context("spawn")
        self._notes, theirs = context.Pipe()
        pairs = [context.Pipe() for _ in places]
        self.names = names
        self.pipes = [ours for ours, _ in pairs]
        self.slots = [Slots(context, spec.max_tokens) for _ in places]
        links = [Link(pipe, slots) for (_, pipe), slots in zip(pairs, self.slots, strict=True)]
        self._is_loader = len(places) > 1
        # A loader has children, so it may not be daemonic; whatever ends this process closes it first.
        self._process = context.Process(target=live, args=(spec, places, links, theirs), daemon=not self._is_loader)
        self._process.start()
        for _, pipe in (*pairs, (None, theirs)):
            pipe.close()
        self._ended: dict[int, Ended] = {}
        self._error: Exception | None = None

    @property
    def handles(self) -> list[Connection | int]:
        """What stirs when an instance ends."""
        return [self._notes, self._process.sentinel] if self._is_loader else [self._process.sentinel]

    def has_ended(self, number: int) -> bool:
        """True once this instance is no more."""
        self._read_notes(0.0)
        return number in self._ended or not self._process.is_alive()

    def death(self, number: int) -> Exception:
        """How this instance, which has ended or is about to, did."""
        if not self._is_loader:
            self._process.join(_NOTE_S)
            return _died(self.names[number], self._process.pid, self._process.exitcode)
        while number not in self._ended and self._error is None and self._read_notes(_NOTE_S):
            pass
        if self._error:
            return self._error
        if found := self._ended.get(number):
            return _died(self.names[number], found.pid, found.exit_code)
        self._process.join(_NOTE_S)
        return _died(f"the loader of {', '.join(self.names)}", self._process.pid, self._process.exitcode)

    def _read_notes(self, patience_s: float) -> bool:
        """Take a note; False when there is none, or never will be."""
        try:
            if not self._is_loader or not self._notes.poll(patience_s):
                return False
            note = self._notes.recv()
        except (EOFError, OSError):
            return False
        if isinstance(note, Ended):
            self._ended[note.number] = note
        else:
            self._error = note
        return True

    def hang_up(self) -> None:
        """Close all pipes: it ends then, if it is not in the midst of a batch."""
        for pipe in (*self.pipes, self._notes):
            pipe.close()

    def end(self) -> None:
        """Wait for its end, a while; then make it."""
        self._process.join(_CLOSE_S)
        self._process.kill()  # a loader's instances go with it
        self._process.join()


def start(spec: WorkerSpec, places: Sequence[Place], *, forked: bool) -> Iterator[Group]:
    """Start all instances, numbered in the order of their places. Ctrl-C is raised after the last."""
    names = [f"instance-{number}" for number in range(len(places))]
    by_group: dict[int, list[int]] = {}
    for number, place in enumerate(places):
        by_group.setdefault(place.node if forked else number, []).append(number)
    resource_tracker.ensure_running()  # it would unblock the signals again
    with _interrupts_held(), _environment(topology.environment(forked) | dict(spec.environment)):
        for numbers in by_group.values():
            yield Group(spec, [places[number] for number in numbers], [names[number] for number in numbers])


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """These variables set, for the processes that are started meanwhile."""
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
    """Ctrl-C and SIGTERM wait: half a start leaves a child that cannot read what it is for.

    Blocked, so that children inherit that, wherever in their imports Ctrl-C finds them; and caught, since the kernel
    hands a process's signal to any thread that has not blocked it, such as one of numpy's.
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


def _died(name: str, pid: int | None, exit_code: int | None) -> RunFailedError:
    return RunFailedError(f"{name} (pid {pid}) died with {_how(exit_code)}.")


def _how(exit_code: int | None) -> str:
    if exit_code is None or exit_code >= 0:
        return f"exit code {exit_code}"
    with suppress(ValueError):  # real-time signals have numbers only
        return f"signal {signal.Signals(-exit_code).name}"
    return f"signal {-exit_code}"
