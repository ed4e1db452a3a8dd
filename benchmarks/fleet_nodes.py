"""Nodes of instances that sleep: real processes while there are few, else times in a heap; for `benchmarks.fleet`.

A sleeping instance costs no CPU, so what is measured is the way of a batch to it and back.
"""

from __future__ import annotations

import heapq
import threading
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from backends.base import Options
from backends.bert.heads import HEADS
from backends.bert.model import Model
from qsl.base import Features
from sut.executors.base import Answer, Done, Executor, Job, Outcome, Ready
from sut.executors.processes import ProcessExecutor
from sut.executors.ray_cluster.agent_queue import AgentQueue, take_a_normal_priority
from sut.executors.ray_cluster.groups import Answers, Batches
from sut.executors.worker import WorkerSpec
from sut.machine.topology import Place
from sut.nodes.addresses import Address
from sut.nodes.credentials import Credentials
from sut.nodes.messages import Identity, InstanceSpeed, Welcome
from sut.queries.server_queue import BatchLimits
from sut.serving import frame_server
from sut.serving.core import ModelLimits, ServingCore
from sut.serving.frame_server import FrameServer

SAMPLES, LENGTH = 64, 180  # of the data set: LENGTH is about SQuAD's mean
BATCH_SAMPLES = 8
BATCH_TOKENS = BATCH_SAMPLES * LENGTH
MOST_PROCESSES = 48  # instances that are processes, of one machine
PACKAGE = "benchmark"
_POLL_S = 0.2


def features() -> Features:
    """Samples of equal length, half of each of type 1."""
    types = np.tile(np.arange(LENGTH) >= LENGTH // 2, SAMPLES).astype(np.int32)
    ids = np.arange(SAMPLES * LENGTH, dtype=np.int32) % 30000
    return Features(ids, types, np.arange(SAMPLES + 1) * LENGTH)


@dataclass(frozen=True)
class Node:
    """The instances of one node."""

    instances: int
    batch_s: float
    processes: bool

    @property
    def ready(self) -> Ready:
        """The speed of each, in the case of times in a heap."""
        return Ready(0.0, BATCH_SAMPLES / self.batch_s, self.batch_s, 1e-9, packed=True)

    def executor(self) -> Executor:
        """The executor of its instances, not started."""
        return _processes(self) if self.processes else TimerExecutor(self)


def _processes(node: Node) -> ProcessExecutor:
    spec = WorkerSpec(
        backend="fake",
        options=Options(),
        model=Model(f"fake:sleep_ms={1e3 * node.batch_s:g}", None, None),
        features=features(),
        vocab=Path("vocab.txt"),
        max_tokens=BATCH_TOKENS,
        shapes=((BATCH_SAMPLES, LENGTH),),
    )
    places = [Place(node=0, cores=1, cpus=(), pinned=False)] * node.instances
    return ProcessExecutor(spec, places, forked=True)


class TimerExecutor:
    """See `sut.executors.base.Executor`. One thread sleeps until the next batch of any instance is done."""

    failure: Exception | None = None

    def __init__(self, node: Node) -> None:
        self.instances = self.active = node.instances
        self._node = node
        self._free = [(0.0, number) for number in range(node.instances)]  # when each is idle, a heap
        self._under_way: list[tuple[float, int, int, Job, Done]] = []  # a heap by end
        self._jobs = 0
        self._changed = threading.Condition()
        self._is_open = True
        self._thread = threading.Thread(target=self._run, name="timers", daemon=True)

    def start(self) -> list[Ready]:
        self._thread.start()
        return [self._node.ready] * self.instances

    def submit(self, job: Job, done: Done) -> None:
        with self._changed:
            free_s, number = self._free[0]
            end_s = max(free_s, time.monotonic()) + self._node.batch_s
            heapq.heapreplace(self._free, (end_s, number))
            self._jobs += 1
            heapq.heappush(self._under_way, (end_s, self._jobs, number, job, done))
            self._changed.notify()

    def _run(self) -> None:
        while self._is_open:
            with self._changed:
                next_s = self._under_way[0][0] - time.monotonic() if self._under_way else _POLL_S
                if next_s > 0:
                    self._changed.wait(next_s)
                    continue
                _, _, number, job, done = heapq.heappop(self._under_way)
            rows = len(job.indexes) * LENGTH if job.tokens is None else len(job.tokens.ids)
            outputs = np.zeros((rows, 2), np.float32)
            done(Outcome(job, Answer(outputs, rows, self._node.batch_s, self._node.batch_s), number))

    def close(self) -> None:
        self._is_open = False


class SleepingAgent:
    """An agent on a node of a Ray cluster; see `sut.running.ray_agent.NodeAgent`."""

    def __init__(self, node: Node) -> None:
        take_a_normal_priority()
        executor = node.executor()
        self._ready = executor.start()
        self._queue = AgentQueue(executor)

    def ready(self) -> list[Ready]:
        return self._ready

    def work(self, batches: Batches) -> None:
        self._queue.work(batches)

    def take(self, linger_s: float, batches: Batches | None) -> Answers:
        return self._queue.take(linger_s, batches)


def serve(node: Node, pipe: Connection) -> None:
    """The main function of a process that is a node: sends its address, and ends when the pipe does."""
    executor = node.executor()
    try:
        pipe.send(_serving(executor))
        pipe.recv()
    except (EOFError, KeyboardInterrupt):
        pass  # the benchmark is over
    finally:
        executor.close()  # its instances would keep a process that failed


def _serving(executor: Executor) -> tuple[str, int]:
    """Start a node's executor and its server; returns the address."""
    data, ready = features(), executor.start()
    limits = BatchLimits(BATCH_TOKENS, packed=True, batch_size=BATCH_SAMPLES)
    core = ServingCore(executor, data, HEADS["spans"], limits, ModelLimits(512, 1 << 20, None, 2))
    about = _About(frame_server.speeds(ready), data.digest())
    bound = frame_server.bind(Address("127.0.0.1", 0))
    server = FrameServer(core, SAMPLES, bound, Credentials(), PACKAGE, about.welcome)
    server.start()
    return server.address.host, server.address.port


@dataclass(frozen=True)
class _About:
    speeds: tuple[InstanceSpeed, ...]
    digest: str

    def welcome(self, proof: str, credits: int) -> Welcome:
        return Welcome(
            proof=proof,
            name="sleeping",
            identity=Identity("squad", "fake", "", "fake", "fp32", self.digest),
            instances=self.speeds,
            credits=credits,
            most_length=512,
            most_tokens=1 << 20,
            planned_for="Offline",
        )
