"""Runs jobs on nodes that each have an agent (docs/design/fleet.md); knows nothing of Ray.

One thread hands batches on, counts deadlines and completes. Each agent always has two calls of `take` under way, which
return with what its instances have answered: while one returns, and brings the next batches, the other waits.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from foundation.arrays import Int64
from sut.errors import UserError
from sut.executors.base import JOBS_PER_INSTANCE, Job, Ready
from sut.executors.fleet import deadlines
from sut.executors.fleet.executor import NONE_LEFT_S, FleetExecutor
from sut.executors.fleet.member import About, Link, Member
from sut.executors.ray_cluster import groups
from sut.executors.ray_cluster.groups import Answers, Batches
from sut.nodes.errors import NodeError
from sut.record.nodes import ClusterRecord

_TICK_S = 0.1
_TAKES = 2
_END_S = 2.0


class Agent(Protocol):
    """A node's agent, reached by calls that return at once. Futures raise NodeError if the agent is gone."""

    def call(self, method: str, *arguments: object) -> Future[Any]: ...

    def kill(self) -> None: ...


class Cluster(Protocol):
    """Where agents are."""

    record: ClusterRecord

    def close(self) -> None:
        """End all agents, and what the run has started itself."""


@dataclass(frozen=True)
class Started:
    """An agent with its instances, warmed up."""

    agent: Agent
    about: About
    ready: Sequence[Ready]  # of each of its instances


# Starts the agent of a node, by its number; may take minutes, and ends with an error soon after the event is set.
Launch = Callable[[int, threading.Event], Started]


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a run wants of all its nodes."""

    rows: Int64  # of each sample's output, by index
    batch_tokens: int  # of the largest batch
    patience_s: float | None  # for any answer; None: as the speed says
    scenario: str
    none_left_s: float = NONE_LEFT_S


class _AgentLink(Link):
    """The way to an agent. Batches wait until the executor's thread sends all that are there in one call: the next one
    of `take`, or else one of `work`."""

    def __init__(self, agent: Agent, linger_s: float, wake: Callable[[Callable[[], None]], None]) -> None:
        self.agent, self.linger_s = agent, linger_s
        self.on_failure: Callable[[BaseException], None] = lambda error: None
        self._wake = wake
        self._lock = threading.Lock()
        self._waiting: list[tuple[int, Int64]] = []

    def send(self, job: Job, number: int) -> None:
        with self._lock:
            is_first = not self._waiting
            self._waiting.append((number, job.indexes))
        if is_first:
            self._wake(self._flush)

    def _waited(self) -> Batches | None:
        with self._lock:
            batches, self._waiting = self._waiting, []
        return Batches.of(batches) if batches else None

    def _flush(self) -> None:
        if batches := self._waited():
            self.agent.call("work", batches).add_done_callback(self._sent)

    def _sent(self, future: Future[None]) -> None:
        if error := future.exception():
            self.on_failure(error)

    def take(self) -> Future[Answers]:
        """What the agent's instances have answered."""
        return self.agent.call("take", self.linger_s, self._waited())

    def drop(self) -> None:
        self.agent.kill()


class RayExecutor(FleetExecutor):
    """See `base.Executor`.

    Args:
        launch: starts an agent; called again, on the same or another machine, when it is lost.
        nodes: what they are.
    """

    def __init__(self, cluster: Cluster, launch: Launch, nodes: Sequence[About], terms: Terms) -> None:
        super().__init__(nodes, terms.rows, terms.none_left_s)
        self.cluster = cluster.record
        self._cluster, self._launch, self._terms = cluster, launch, terms
        self._events: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="agents", daemon=True)

    def start(self) -> list[Ready]:
        started: queue.SimpleQueue[tuple[int, Started | BaseException]] = queue.SimpleQueue()
        for number in range(len(self.members)):
            threading.Thread(target=self._start_one, args=(number, started), name="launch", daemon=True).start()
        found: dict[int, Started] = {}
        while len(found) < len(self.members):
            number, one = started.get()
            if isinstance(one, BaseException):
                raise one
            found[number] = one
        for number, member in enumerate(self.members):
            member.join(self._link(member, found[number]), found[number].about, self._credits(found[number]))
        self._thread.start()
        for member in self.members:
            assert isinstance(member.link, _AgentLink)
            self._take_all(member, member.link)
        return [ready for number in range(len(self.members)) for ready in found[number].ready]

    def _start_one(self, number: int, started: queue.SimpleQueue[tuple[int, Started | BaseException]]) -> None:
        try:
            started.put((number, self._launch(number, self._closing)))
        except BaseException as error:  # noqa: BLE001 - it is raised again by start(), on the caller's thread
            started.put((number, error))

    def _credits(self, started: Started) -> int:
        return JOBS_PER_INSTANCE * len(started.ready)

    def _link(self, member: Member, started: Started) -> _AgentLink:
        """The link to a new agent; the member's speed and deadlines become those of its instances."""
        ready = started.ready
        batch_s = max(one.batch_s + one.token_s * self._terms.batch_tokens for one in ready)
        member.samples_per_s = sum(one.samples_per_s for one in ready)
        member.patience_s = deadlines.deadline_s(batch_s, self._terms.patience_s)
        link = _AgentLink(started.agent, groups.linger_s(batch_s, len(ready), self._terms.scenario), self._events.put)
        link.on_failure = lambda error: self._events.put(partial(self.lose, member, link, str(error)))
        return link

    def _take_all(self, member: Member, link: _AgentLink) -> None:
        for _ in range(_TAKES):
            self._take(member, link)

    def _take(self, member: Member, link: _AgentLink) -> None:
        link.take().add_done_callback(lambda future: self._events.put(partial(self._taken, member, link, future)))

    def _taken(self, member: Member, link: _AgentLink, future: Future[Answers]) -> None:
        if member.link is not link or self._closing.is_set():
            return
        try:
            for number, instance, answer in future.result().each():
                self.answered(member, number, answer, instance)
            self._take(member, link)
        except NodeError as error:
            self.lose(member, link, str(error))

    def _run(self) -> None:
        try:
            while not self._closing.is_set():
                with suppress(queue.Empty):
                    self._events.get(timeout=_TICK_S)()
                self.tick()
        except Exception as error:  # noqa: BLE001 - without this thread nothing is answered, so the run must fail
            self.failure = self.failure or error

    def _rejoin(self, member: Member, wait_s: float) -> None:
        number = self.members.index(member)
        while not self._closing.wait(wait_s):
            with suppress(UserError):
                started = self._launch(number, self._closing)
                with self._lock:
                    link = self._link(member, started)
                    self.back(member, link, started.about, self._credits(started))
                self._take_all(member, link)
                return

    def close(self) -> None:
        self._closing.set()
        if self._thread.ident and self._thread is not threading.current_thread():
            self._thread.join(_END_S)
        self._cluster.close()
