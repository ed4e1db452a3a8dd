"""Instances in separate processes: a crash of an engine ends the run, not the interpreter under LoadGen.

Jobs are sent as indexes over a pipe, and outputs come back in shared memory (`answer_slots`). One collector thread
waits for all pipes and all exits at once, so a killed instance is noticed as fast as an answer. `process_group` starts
and stops the processes.
"""

from __future__ import annotations

import selectors
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from sut.errors import RunFailedError
from sut.executors import pipe_messages, process_group
from sut.executors.answer_slots import AnswerSlots
from sut.executors.base import LOAD_PATIENCE_S, Answer, Done, Job, Outcome, Ready, load_stalled
from sut.executors.process_group import Group
from sut.executors.worker import WorkerSpec
from sut.machine import limits
from sut.machine.topology import Place

_STEP_S = 1.0  # of waiting for an instance that loads
_POLL_S = 0.2  # how often the collector checks whether to stop


@dataclass(eq=False)
class _Instance:
    index: int  # among all instances
    group: Group
    number: int  # within the group
    pipe: Connection
    slots: AnswerSlots
    in_flight: deque[tuple[Job, Done]] = field(default_factory=deque)
    since_s: float = 0.0  # when it got its last job

    def load(self) -> tuple[int, float]:
        """The lower, the sooner it is free: of two busy ones, the one that got its job first."""
        return len(self.in_flight), self.since_s if self.in_flight else 0.0


class ProcessExecutor:
    """See `base.Executor`."""

    def __init__(
        self, spec: WorkerSpec, places: Sequence[Place], *, forked: bool, patience_s: float = LOAD_PATIENCE_S
    ) -> None:
        """`forked`: instances of a node share what one loader has loaded; otherwise each loads the model itself.

        `patience_s`: how long an instance may take to load and to warm up."""
        self.instances = self.active = len(places)
        self.failure: Exception | None = None
        self._spec, self._places, self._forked, self._patience_s = spec, places, forked, patience_s
        self._lock = threading.Lock()
        self._groups: list[Group] = []
        self._running: list[_Instance] = []
        self._closing = threading.Event()
        self._collector = threading.Thread(target=self._collect, name="collector", daemon=True)

    def start(self) -> list[Ready]:
        with limits.named("start the instances"):
            return self._start()

    def _start(self) -> list[Ready]:
        for group in process_group.start(self._spec, self._places, forked=self._forked):
            self._groups.append(group)  # one by one, because Ctrl-C may come before the last
        links = [
            (group, number, pipe, slots)
            for group in self._groups
            for number, (pipe, slots) in enumerate(zip(group.pipes, group.slots, strict=True))
        ]
        self._running = [_Instance(index, *link) for index, link in enumerate(links)]
        for instance in self._running:
            self._receive_message(instance)  # it is warmed up
        for instance in self._running:
            with suppress(OSError):  # if it has exited, that is noticed by the next read
                instance.pipe.send(None)
        ready: list[Ready] = [self._receive_message(instance) for instance in self._running]
        self._collector.start()
        return ready

    def _receive_message(self, instance: _Instance) -> Any:
        try:
            message = instance.pipe.recv() if self._has_message(instance.pipe) else self._stalled(instance)
        except (EOFError, OSError):
            message = instance.group.exit_error(instance.number)
        if isinstance(message, Exception):
            self.close()
            raise message
        return message

    def _has_message(self, pipe: Connection) -> bool:
        """Whether a message came in time, which is counted in steps: this process may be suspended meanwhile."""
        left_s = self._patience_s
        while not pipe.poll(min(left_s, _STEP_S)):
            left_s -= _STEP_S
            if left_s <= 0:
                return False
        return True

    def _stalled(self, instance: _Instance) -> RunFailedError:
        instance.group.kill()
        return load_stalled(instance.group.process_of(instance.number), self._patience_s)

    def submit(self, job: Job, done: Done) -> None:
        with self._lock:
            instance = min(self._running, key=_Instance.load)
            instance.in_flight.append((job, done))
            instance.since_s = time.monotonic()
            try:
                pipe_messages.send_work(instance.pipe, job.work)
            except OSError:
                return  # it has exited; the collector notices that and fails this job too

    def _collect(self) -> None:
        try:
            with selectors.DefaultSelector() as selector:
                for instance in self._running:
                    selector.register(instance.pipe, selectors.EVENT_READ, instance)
                for group in self._groups:
                    for handle in group.handles:
                        selector.register(handle, selectors.EVENT_READ, group)
                self._serve(selector)
        except Exception as error:  # noqa: BLE001 - without this thread no query is answered, so the run must fail
            self.failure = self.failure or error

    def _serve(self, selector: selectors.BaseSelector) -> None:
        alive = list(self._running)
        while alive and not self._closing.is_set():
            ready_keys = {key.data for key, _ in selector.select(_POLL_S)}
            for one in [one for one in alive if one in ready_keys or one.group in ready_keys]:
                if not self._receive(one, has_answer=one in ready_keys, may_have_exited=one.group in ready_keys):
                    alive.remove(one)
                    selector.unregister(one.pipe)

    def _receive(self, instance: _Instance, has_answer: bool, may_have_exited: bool) -> bool:
        """Handle the instance's messages, as far as is known without asking the pipe; False if it has exited."""
        try:
            if has_answer:
                self._take(instance)
            while may_have_exited and instance.pipe.poll():
                self._take(instance)
            has_exited = may_have_exited and instance.group.has_ended(instance.number) and not instance.pipe.poll()
        except (EOFError, OSError):
            has_exited = True
        if has_exited:
            self._fail_jobs(instance)
        return not has_exited

    def _take(self, instance: _Instance) -> None:
        answer = instance.slots.take(pipe_messages.receive_answer(instance.pipe))
        job, done = instance.in_flight.popleft()
        done(Outcome(job, answer, instance.index))

    def _fail_jobs(self, instance: _Instance) -> None:
        if self._closing.is_set():
            return
        error = instance.group.exit_error(instance.number)
        with self._lock:
            lost, instance.in_flight = instance.in_flight, deque()
        self.failure = self.failure or error
        for job, done in lost:
            done(Outcome(job, Answer(None, error=error), instance.index))

    def close(self) -> None:
        self._closing.set()
        if self._collector.ident and self._collector is not threading.current_thread():
            self._collector.join(2 * _POLL_S)  # before the pipes that it waits for are closed
        is_free = self._lock.acquire(timeout=_STEP_S)  # `submit` may wait in it for an instance that hangs
        for group in self._groups:
            group.close_pipes()
        if is_free:
            self._lock.release()
        until_s = time.monotonic() + process_group.CLOSE_S  # of all together
        for group in self._groups:
            group.end(until_s)
