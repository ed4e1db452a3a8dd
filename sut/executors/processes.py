"""Each instance in a process of its own: an engine that crashes ends the run, not the interpreter under LoadGen.

Jobs go out as indexes and come back as one array over a pipe. One collector thread waits on all pipes and on all
processes' ends at once, so a killed instance is noticed as fast as an answer. Children ignore Ctrl-C, which reaches the
whole terminal, and end when their pipe does: nothing outlives this process, even one that is killed.
"""

from __future__ import annotations

import multiprocessing as mp
import os
import pickle
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from sut.errors import RunFailedError
from sut.executors.base import Done, Job, Outcome, Ready
from sut.worker import Worker, WorkerSpec

_CLOSE_S = 2.0  # how long instances may take to end by themselves
_INTERRUPTS = (signal.SIGINT, signal.SIGTERM)
_LOOK_UP_S = 0.2  # how often the collector looks whether it is still wanted


@dataclass
class _Instance:
    process: SpawnProcess
    pipe: Connection
    under_way: deque[tuple[Job, Done]] = field(default_factory=deque)


class ProcessExecutor:
    """See `base.Executor`."""

    def __init__(self, spec: WorkerSpec, instances: int) -> None:
        self.instances = instances
        self.failure: Exception | None = None
        self._spec = spec
        self._lock = threading.Lock()
        self._running: list[_Instance] = []
        self._closing = threading.Event()
        self._collector = threading.Thread(target=self._collect, name="collector", daemon=True)

    def start(self) -> list[Ready]:
        context = mp.get_context("spawn")
        resource_tracker.ensure_running()  # it would unblock the signals again
        with _interrupts_held():
            for number in range(self.instances):
                ours, theirs = context.Pipe()
                process = context.Process(
                    target=_serve, args=(theirs, self._spec), name=f"instance-{number}", daemon=True
                )
                process.start()
                theirs.close()
                self._running.append(_Instance(process, ours))
        ready = [self._first_word(instance) for instance in self._running]
        self._collector.start()
        return ready

    def _first_word(self, instance: _Instance) -> Ready:
        try:
            word = instance.pipe.recv()
        except (EOFError, OSError):
            word = self._death(instance)
        if isinstance(word, Exception):
            self.close()
            raise word
        return word  # type: ignore[no-any-return]

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
            alive = list(self._running)
            while alive and not self._closing.is_set():
                stirred = wait([handle for one in alive for handle in (one.pipe, one.process.sentinel)], _LOOK_UP_S)
                for instance in [one for one in alive if one.pipe in stirred or one.process.sentinel in stirred]:
                    if not self._receive(instance):
                        alive.remove(instance)
        except Exception as error:  # noqa: BLE001 - without this thread nothing is answered: the run must hear of it
            self.failure = self.failure or error

    def _receive(self, instance: _Instance) -> bool:
        """Pass on what the instance has sent; False once it is gone."""
        try:
            while instance.pipe.poll():
                outputs, computed_tokens, error = instance.pipe.recv()
                job, done = instance.under_way.popleft()
                done(Outcome(job, outputs, computed_tokens, error))
        except (EOFError, OSError):
            self._bury(instance)
            return False
        if not instance.process.is_alive() and not instance.pipe.poll():
            self._bury(instance)
            return False
        return True

    def _bury(self, instance: _Instance) -> None:
        if self._closing.is_set():
            return
        error = self._death(instance)
        with self._lock:
            lost, instance.under_way = instance.under_way, deque()
        self.failure = self.failure or error
        for job, done in lost:
            done(Outcome(job, None, error=error))

    def _death(self, instance: _Instance) -> RunFailedError:
        instance.process.join(_CLOSE_S)
        code = instance.process.exitcode
        return RunFailedError(f"{instance.process.name} (pid {instance.process.pid}) died with {_how(code)}.")

    def close(self) -> None:
        self._closing.set()
        if self._collector.ident and self._collector is not threading.current_thread():
            self._collector.join(2 * _LOOK_UP_S)  # before the pipes that it waits on go
        with self._lock:
            for instance in self._running:
                instance.pipe.close()
        deadline_s = time.monotonic() + _CLOSE_S
        for instance in self._running:
            instance.process.join(max(0.0, deadline_s - time.monotonic()))
            if instance.process.is_alive():
                instance.process.kill()
        for instance in self._running:
            instance.process.join()


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C and SIGTERM wait: half a start leaves a child that cannot read what it is for.

    Blocked, so that children inherit that, wherever in their imports Ctrl-C finds them; and caught, since the kernel
    hands a process's signal to any thread that has not blocked it, such as one of numpy's.
    """
    held: list[int] = []
    handlers = {number: signal.signal(number, lambda found, _: held.append(found)) for number in _INTERRUPTS}
    signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPTS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _INTERRUPTS)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for found in held:
            signal.raise_signal(found)


def _how(exit_code: int | None) -> str:
    if exit_code is None or exit_code >= 0:
        return f"exit code {exit_code}"
    with suppress(ValueError):  # real-time signals have numbers only
        return f"signal {signal.Signals(-exit_code).name}"
    return f"signal {-exit_code}"


def _serve(pipe: Connection, spec: WorkerSpec) -> None:
    """An instance's life, in its own process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _INTERRUPTS)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with suppress(EOFError, OSError):  # the parent has closed its end, or is gone
        _work(pipe, spec)


def _work(pipe: Connection, spec: WorkerSpec) -> None:
    try:
        worker = Worker(spec)
    except Exception as error:  # noqa: BLE001 - it is raised again by start(), in the parent
        pipe.send(_portable(error))
        return
    try:
        pipe.send(worker.ready)
        while True:
            pipe.send(_answer(worker, pipe.recv()))
    finally:
        worker.close()


def _end_with_parent() -> None:
    """In the midst of a batch too, where the pipe's end goes unseen."""
    parent = mp.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _answer(worker: Worker, indexes: Sequence[int]) -> tuple[object, int, Exception | None]:
    try:
        return (*worker.infer(indexes), None)
    except Exception as error:  # noqa: BLE001 - it travels to the parent, which fails the run with it
        return None, 0, _portable(error)


def _portable(error: Exception) -> Exception:
    """The error itself where it survives pickling, else its words."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001 - whatever pickling trips over, the words travel
        return RunFailedError(f"{type(error).__name__}: {error}")
    return error
