"""Instances in processes of their own: an engine that crashes ends the run, not the interpreter under LoadGen.

Jobs go out as indexes over a pipe, and answers come back in shared memory (`slots.py`). One collector thread waits on
all pipes and on all ends at once, so a killed instance is noticed as fast as an answer. How the processes come to be,
and end: `groups.py`.
"""

from __future__ import annotations

import selectors
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from sut.executors import process_group
from sut.executors.answer_slots import Slots
from sut.executors.base import Answer, Done, Job, Outcome, Ready
from sut.executors.process_group import Group
from sut.executors.worker import WorkerSpec
from sut.machine.topology import Place

_LOOK_UP_S = 0.2  # how often the collector looks whether it is still wanted


@dataclass(eq=False)
class _Instance:
    index: int  # of all instances
    group: Group
    number: int  # within the group
    pipe: Connection
    slots: Slots
    under_way: deque[tuple[Job, Done]] = field(default_factory=deque)


class ProcessExecutor:
    """See `base.Executor`."""

    def __init__(self, spec: WorkerSpec, places: Sequence[Place], *, forked: bool) -> None:
        """`forked`: instances of a node share what one loader has loaded; else each loads for itself."""
        self.instances = len(places)
        self.failure: Exception | None = None
        self._spec, self._places, self._forked = spec, places, forked
        self._lock = threading.Lock()
        self._groups: list[Group] = []
        self._running: list[_Instance] = []
        self._closing = threading.Event()
        self._collector = threading.Thread(target=self._collect, name="collector", daemon=True)

    def start(self) -> list[Ready]:
        for group in process_group.start(self._spec, self._places, forked=self._forked):
            self._groups.append(group)  # one by one: Ctrl-C may come before the last
        links = [
            (group, number, pipe, slots)
            for group in self._groups
            for number, (pipe, slots) in enumerate(zip(group.pipes, group.slots, strict=True))
        ]
        self._running = [_Instance(index, *link) for index, link in enumerate(links)]
        for instance in self._running:
            self._word(instance)  # it is warm
        for instance in self._running:
            with suppress(OSError):  # the end of one that died meanwhile is seen when it is read
                instance.pipe.send(None)
        ready: list[Ready] = [self._word(instance) for instance in self._running]
        self._collector.start()
        return ready

    def _word(self, instance: _Instance) -> Any:
        try:
            word = instance.pipe.recv()
        except (EOFError, OSError):
            word = instance.group.death(instance.number)
        if isinstance(word, Exception):
            self.close()
            raise word
        return word

    def submit(self, job: Job, done: Done) -> None:
        with self._lock:
            instance = min(self._running, key=lambda one: len(one.under_way))
            instance.under_way.append((job, done))
            try:
                instance.pipe.send(job.indexes)
            except OSError:
                return  # it died; the collector sees that and answers for this job too

    def _collect(self) -> None:
        try:
            with selectors.DefaultSelector() as selector:
                for instance in self._running:
                    selector.register(instance.pipe, selectors.EVENT_READ, instance)
                for group in self._groups:
                    for handle in group.handles:
                        selector.register(handle, selectors.EVENT_READ, group)
                self._serve(selector)
        except Exception as error:  # noqa: BLE001 - without this thread nothing is answered: the run must hear of it
            self.failure = self.failure or error

    def _serve(self, selector: selectors.BaseSelector) -> None:
        alive = list(self._running)
        while alive and not self._closing.is_set():
            stirred = {key.data for key, _ in selector.select(_LOOK_UP_S)}
            for one in [one for one in alive if one in stirred or one.group in stirred]:
                if not self._receive(one, is_in_doubt=one.group in stirred):
                    alive.remove(one)
                    selector.unregister(one.pipe)

    def _receive(self, instance: _Instance, is_in_doubt: bool) -> bool:
        """Pass on what the instance has sent; False once it is gone."""
        try:
            while instance.pipe.poll():
                answer = instance.slots.take(instance.pipe.recv())
                job, done = instance.under_way.popleft()
                done(Outcome(job, answer, instance.index))
            is_gone = is_in_doubt and instance.group.has_ended(instance.number) and not instance.pipe.poll()
        except (EOFError, OSError):
            is_gone = True
        if is_gone:
            self._bury(instance)
        return not is_gone

    def _bury(self, instance: _Instance) -> None:
        if self._closing.is_set():
            return
        error = instance.group.death(instance.number)
        with self._lock:
            lost, instance.under_way = instance.under_way, deque()
        self.failure = self.failure or error
        for job, done in lost:
            done(Outcome(job, Answer(None, error=error), instance.index))

    def close(self) -> None:
        self._closing.set()
        if self._collector.ident and self._collector is not threading.current_thread():
            self._collector.join(2 * _LOOK_UP_S)  # before the pipes that it waits on go
        with self._lock:
            for group in self._groups:
                group.hang_up()
        for group in self._groups:
            group.end()
