"""Runs jobs on nodes (docs/design/fleet.md): who gets one, until when it must be answered, what happens if it is not.

One thread reads, writes what the kernel did not take at once, counts deadlines and completes. Time in which this
process was suspended does not count.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial

from foundation.people_numbers import count
from qsl.base import Features
from sut.errors import RunFailedError, UserError
from sut.executors.base import Answer, Done, Job, Outcome, Ready
from sut.executors.remote import warm_up
from sut.executors.remote.node import RemoteNode, Sent
from sut.executors.remote.samples import SampleFrames
from sut.executors.remote.terms import Terms
from sut.nodes import messages
from sut.nodes.addresses import Address
from sut.nodes.errors import NodeError, ProtocolError
from sut.nodes.frames import Frame, Kind
from sut.nodes.handshake import Node
from sut.nodes.loop import Loop
from sut.record.nodes import NodeLoss, NodeRecord

_STEP_S = 1.0  # between two looks at the clock; what is longer is a suspension
_REJOIN_S, _MOST_REJOIN_S = 0.1, 2.0  # between two attempts to reach a lost node: twice as long each time

Connect = Callable[[Address], Node]


class RemoteExecutor:
    """See `base.Executor`.

    Args:
        nodes: where they are, and the connections to them.
        connect: connects again to a node that was lost; raises NodeError, or UsageError if it is another one by now.
        features: the run's, and their digest.
    """

    def __init__(
        self,
        nodes: Sequence[tuple[Address, Node]],
        connect: Connect,
        features: Features,
        digest: str,
        terms: Terms,
    ) -> None:
        self.failure: Exception | None = None
        self._connect, self._digest = connect, digest
        self._frames = SampleFrames(features)
        self._terms = terms
        self._lock = threading.RLock()
        self._waiting: deque[tuple[Job, Done]] = deque()
        self._suspended_s, self._looked_s = 0.0, time.monotonic()
        self._none_since_s: float | None = None
        self._closing = threading.Event()
        self._loop = Loop("nodes", self._tick, self._defect)
        self.nodes: list[RemoteNode] = []
        first = 0
        for address, (channel, welcome) in nodes:
            one = RemoteNode(address, welcome, None, first, len(welcome.instances), welcome.identity.features == digest)
            one.join(channel, welcome)
            one.patience_s = terms.warm_up_s(welcome.instances)
            self.nodes.append(one)
            first += one.instances
        self.instances = self.active = first

    def start(self) -> list[Ready]:
        for node in self.nodes:
            self._serve(node)
        self._loop.start()
        with ThreadPoolExecutor(len(self.nodes)) as pool:
            speeds = list(pool.map(self._measure, self.nodes))
        return [speed for node, speed in zip(self.nodes, speeds, strict=True) for _ in range(node.instances)]

    def _measure(self, node: RemoteNode) -> Ready:
        """The speed of each of a node's instances, over the network, while all nodes are measured."""
        submit = partial(self._send_to, node)
        terms = self._terms
        speed = warm_up.measure(submit, node, terms)
        node.samples_per_s = speed.samples_per_s * node.instances
        node.patience_s = terms.deadline_s(speed)
        node.queries = node.samples = 0
        return speed

    def _send_to(self, node: RemoteNode, job: Job, done: Done) -> None:
        with self._lock:
            if node.channel is None:
                raise NodeError(f"expected the node at {node.address} to warm up, found it lost. See its own output.")
            node.send(job, done, self._frames, self._now())

    def submit(self, job: Job, done: Done) -> None:
        with self._lock:
            self._waiting.append((job, done))
            self._send_waiting()

    def _send_waiting(self) -> None:
        while self._waiting and (free := [node for node in self.nodes if node.has_credit]):
            job, done = self._waiting.popleft()
            min(free, key=lambda node: node.expected_end).send(job, done, self._frames, self._now())

    def _serve(self, node: RemoteNode) -> None:
        assert node.channel is not None
        self._loop.add(node.channel, partial(self._on_frame, node), partial(self._lose, node))

    def _on_frame(self, node: RemoteNode, frame: Frame) -> None:
        match frame.kind:
            case Kind.ANSWER:
                self._answered(node, frame)
            case Kind.ERROR if frame.number:
                error = RunFailedError(f"the node at {node.address}: {messages.from_text(frame.payload)}")
                if sent := self._owner(node, frame.number):
                    sent.done(Outcome(sent.job, Answer(None, error=error), node.first_instance))
            case Kind.CREDITS:
                with self._lock:
                    node.credits = messages.from_count(frame.payload)
                    self._send_waiting()
            case Kind.PING:
                assert node.channel is not None
                node.channel.send(Frame(Kind.PONG, frame.number))
            case Kind.ERROR | Kind.BYE:
                raise NodeError(messages.from_text(frame.payload))
            case _:
                pass

    def _answered(self, node: RemoteNode, frame: Frame) -> None:
        rows = messages.from_rows(frame.payload)  # before it is owned: if it is broken, the job moves
        if asked := node.in_flight.get(frame.number):
            self._terms.check(asked.job, rows.outputs)
        sent = self._owner(node, frame.number)
        if sent is None:
            return
        with self._lock:
            node.queries += 1
            node.samples += len(sent.job.ids)
        answer = Answer(rows.outputs, rows.computed_tokens, rows.batch_s, rows.engine_s)
        sent.done(Outcome(sent.job, answer, node.number_of(rows.instance)))

    def _owner(self, node: RemoteNode, number: int) -> Sent | None:
        """The query that this answer is for, which is then no longer under way; None if it has been answered."""
        with self._lock:
            if not 0 < number < node.next_number:
                raise ProtocolError(f"expected an answer to a query, found one to {number}")
            sent = node.in_flight.pop(number, None)
            node.unowned += sent is None
            self._send_waiting()
        return sent

    def _now(self) -> float:
        return time.monotonic() - self._suspended_s

    def _tick(self) -> None:
        now_s = time.monotonic()
        self._suspended_s += max(0.0, now_s - self._looked_s - _STEP_S)
        self._looked_s = now_s
        for node in self.nodes:
            if node.channel is not None and node.overdue(self._now()):
                self._loop.drop(node.channel)
                self._lose(node, f"no answer to a batch within {node.patience_s:.3g} s", _MOST_REJOIN_S)
        since_s = self._none_since_s
        if since_s is not None and self._now() - since_s > self._terms.none_left_s and not self.failure:
            reasons = "; ".join(f"{node.address}: {node.losses[-1].reason}" for node in self.nodes if node.losses)
            self.failure = RunFailedError(f"expected a node to answer, found all lost ({reasons})")

    def _lose(self, node: RemoteNode, reason: str, retry_s: float = _REJOIN_S) -> None:
        """The node is lost: its jobs go back to their owner, and it is tried again after `retry_s`."""
        if self._closing.is_set():
            return
        reason = reason.rstrip(".")
        with self._lock:
            lost = node.lose()
            self._count()
            node.losses.append(NodeLoss(unix_s=time.time(), reason=reason, jobs_moved=len(lost)))
            if not self.active:
                self._none_since_s = self._now()
        again = f" {count(len(lost), 'batch', 'batches')} of it to be done again elsewhere." if lost else ""
        _tell(f"node {node.address} is lost: {reason}.{again}")
        error = RunFailedError(f"the node at {node.address} is lost: {reason}")
        for sent in lost:
            sent.done(Outcome(sent.job, Answer(None, error=error), node.first_instance, lost=True))
        threading.Thread(target=self._rejoin, args=(node, retry_s), name=f"rejoin {node.address}", daemon=True).start()

    def _rejoin(self, node: RemoteNode, wait_s: float) -> None:
        while not self._closing.wait(wait_s):
            wait_s = min(2 * wait_s, _MOST_REJOIN_S)
            with suppress(UserError):
                channel, welcome = self._connect(node.address)
                self._back(node, Node(channel, welcome))
                return

    def _back(self, node: RemoteNode, found: Node) -> None:
        with self._lock:
            node.has_features = found.welcome.identity.features == self._digest
            node.join(*found)
            self._count()
            node.losses[-1] = replace(node.losses[-1], back_unix_s=time.time())
            self._none_since_s = None
            self._serve(node)
            self._send_waiting()
        _tell(f"node {node.address} is back.")

    def _count(self) -> None:
        self.active = sum(node.instances for node in self.nodes if node.channel is not None)

    def _defect(self, error: Exception) -> None:
        self.failure = self.failure or error

    def record(self) -> tuple[NodeRecord, ...]:
        """The nodes and what they did, for run.json."""
        with self._lock:
            return tuple(map(_record, self.nodes))

    def close(self) -> None:
        self._closing.set()
        with self._lock:
            for node in self.nodes:
                if node.channel is not None:
                    node.channel.send(Frame(Kind.BYE, 0))
        self._loop.close()


def _record(node: RemoteNode) -> NodeRecord:
    return NodeRecord(
        address=str(node.address),
        name=node.welcome.name,
        instances=node.instances,
        planned_for=node.welcome.planned_for,
        sent="indexes" if node.has_features else "tokens",
        samples_per_s=node.samples_per_s,
        batches=node.queries,
        samples=node.samples,
        unowned_answers=node.unowned,
        losses=tuple(node.losses),
        engine=node.welcome.engine,
        machine=node.welcome.machine,
    )


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
