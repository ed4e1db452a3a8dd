"""One instance on a thread of this process, without inter-process communication: for low latency and for profilers."""

from __future__ import annotations

import os
import queue
import threading
from contextlib import ExitStack

from foundation import freed_memory
from sut.executors import blas_threads
from sut.executors.base import LOAD_PATIENCE_S, Done, Job, Outcome, Ready, load_stalled
from sut.executors.worker import Worker, WorkerSpec
from sut.machine import limits

_CLOSE_S = 1.0  # how long a running batch may take to finish


class InlineExecutor:
    """See `base.Executor`. A crash of the engine ends this process; with `processes` it does not."""

    instances = active = 1
    failure: Exception | None = None

    def __init__(self, spec: WorkerSpec, patience_s: float = LOAD_PATIENCE_S) -> None:
        """`patience_s`: how long the instance may take to load and to warm up."""
        self._spec, self._patience_s = spec, patience_s
        self._jobs: queue.SimpleQueue[tuple[Job, Done] | None] = queue.SimpleQueue()
        self._ready: queue.SimpleQueue[Ready | Exception] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._process = ExitStack()  # what the run changed of it, restored at the end
        self._thread = threading.Thread(target=self._serve, name="instance", daemon=True)

    def start(self) -> list[Ready]:
        environment = dict(self._spec.environment)
        self._process.enter_context(blas_threads.kept(environment))
        os.environ.update(environment)
        with limits.named("start the instance"):
            self._thread.start()
            try:
                ready = self._ready.get(timeout=self._patience_s)
            except queue.Empty:
                raise load_stalled("the instance in this process", self._patience_s) from None
            if isinstance(ready, Exception):
                raise ready
            return [ready]

    def submit(self, job: Job, done: Done) -> None:
        self._jobs.put((job, done))

    def close(self) -> None:
        self._closing.set()
        self._jobs.put(None)
        if self._thread.ident and self._thread is not threading.current_thread():
            self._thread.join(_CLOSE_S)  # an engine with its own threads must stop before the interpreter does
        self._process.close()

    def _serve(self) -> None:
        try:
            worker = Worker(self._spec)
            freed_memory.keep()
            worker.warm_up()
            ready = worker.measure()
        except Exception as error:  # noqa: BLE001 - it is raised again by start(), on the caller's thread
            self._ready.put(error)
            return
        self._ready.put(ready)
        while (item := self._jobs.get()) is not None and not self._closing.is_set():
            job, done = item
            done(Outcome(job, worker.infer(job.work)))
        worker.close()
