"""The part of an executor on several machines that does not depend on how they are reached (docs/design/fleet.md).

Which node gets a job, until when it must be answered, and what happens if it is not. A subclass has the links, and a
thread that calls `tick` several times a second.
"""

from __future__ import annotations

import sys
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from foundation.arrays import Float32, Int64
from foundation.people_numbers import count
from sut.errors import RunFailedError
from sut.executors.base import Answer, Done, Job, Outcome, Ready
from sut.executors.fleet.copies import Copies
from sut.executors.fleet.deadlines import RunningClock
from sut.executors.fleet.member import About, Link, Member, Sent
from sut.nodes.errors import NodeError, ProtocolError
from sut.record.nodes import ClusterRecord, NodeLoss, NodeRecord

NONE_LEFT_S = 10.0  # how long jobs wait while no node is left
LATE_S = 0.25  # a younger job is not repeated
REJOIN_S, MOST_REJOIN_S = 0.1, 2.0  # between two attempts to reach a lost node: twice as long each time


class FleetExecutor(ABC):
    """See `base.Executor`."""

    cluster: ClusterRecord | None = None
    repeats_late = False  # whether an idle node does the last jobs of a slow one, too; not at warm-up

    def __init__(self, nodes: Sequence[About], rows: Int64, none_left_s: float = NONE_LEFT_S) -> None:
        """`rows`: of each sample's output, by index."""
        self.failure: Exception | None = None
        self.members: list[Member] = []
        self.instances = self.active = 0
        for about in nodes:
            self.members.append(Member(about, self.instances, about.instances))
            self.instances = self.active = self.instances + about.instances
        self._rows, self._none_left_s = rows, none_left_s
        self._lock = threading.RLock()
        self._waiting: deque[tuple[Job, Done]] = deque()
        self._copies = Copies()
        self._clock = RunningClock()
        self._none_since_s: float | None = None
        self._closing = threading.Event()

    @abstractmethod
    def start(self) -> list[Ready]: ...

    @abstractmethod
    def close(self) -> None: ...

    @abstractmethod
    def _rejoin(self, member: Member, wait_s: float) -> None:
        """Reach a lost node again, first after `wait_s`, until `_closing`; then call `back`. On a thread of its own."""

    def submit(self, job: Job, done: Done) -> None:
        with self._lock:
            self._waiting.append((job, done))
            self._send_waiting()

    def send_to(self, member: Member, job: Job, done: Done) -> None:
        """Send a job to this node, before the test. Raises NodeError if it is lost."""
        with self._lock:
            if member.link is None:
                raise NodeError(f"expected the node at {member.address} to warm up, found it lost. See its own output.")
            member.send(job, done, self._clock.now())

    def _send_waiting(self) -> None:
        while self._waiting and (member := self._next_member()):
            job, done = self._waiting.popleft()
            member.send(job, done, self._clock.now())

    def _next_member(self) -> Member | None:
        """The node that is expected to be done first, of those with a credit.

        One that forms batches has credits for many single samples, and a slow one must not get all of them: a sample
        waits for the node that is done first of all.
        """
        there = [one for one in self.members if (one.takes_jobs if one.forms_batches else one.has_credit)]
        first = min(there, key=lambda member: member.expected_end, default=None)
        return first if first and first.has_credit else None

    def grant(self, member: Member, credits: int) -> None:
        """The node takes this many jobs at a time from now on."""
        with self._lock:
            member.credits = credits
            self._send_waiting()

    def answered(self, member: Member, number: int, answer: Answer, instance: int) -> None:
        """The node has answered a job, with outputs or with an engine's error.

        Raises:
            ProtocolError: it cannot be the answer, so the node is broken.
        """
        if answer.outputs is not None and (asked := member.in_flight.get(number)):
            self._check(asked.job, answer.outputs)  # before it is owned: if it is broken, the job moves
        sent = self._owner(member, number)
        if sent is None:
            return
        if answer.error is None:
            with self._lock:
                member.batches += 1
                member.samples += len(sent.job.ids)
        sent.done(Outcome(sent.job, answer, member.number_of(instance)))

    def _check(self, job: Job, outputs: Float32) -> None:
        expected = int(self._rows[job.indexes].sum())
        if job.tokens is None and len(outputs) != expected:  # tokens: of the warm-up
            raise ProtocolError(f"expected {expected} rows for a batch, found {len(outputs)}")

    def _owner(self, member: Member, number: int) -> Sent | None:
        """The job that this answer is for, which is then no longer under way; None if it has been answered."""
        with self._lock:
            if not 0 < number < member.next_number:
                raise ProtocolError(f"expected an answer to a query, found one to {number}")
            sent = member.in_flight.pop(number, None)
            if sent and not self._copies.is_first_answer(sent.job):
                sent = None
            member.answered_s = self._clock.now()
            member.unowned += sent is None
            self._send_waiting()
        return sent

    def tick(self) -> None:
        """Look at the clock: deadlines, and whether any node is left."""
        self._clock.tick()
        for member in self.members:
            if member.link is not None and member.is_overdue(self._clock.now()):
                reason = f"no answer to a batch within {member.patience_s:.3g} s"
                self.lose(member, member.link, reason, MOST_REJOIN_S)
        if self.repeats_late:
            self._repeat_late()
        since_s = self._none_since_s
        if since_s is not None and self._clock.now() - since_s > self._none_left_s and not self.failure:
            reasons = "; ".join(f"{one.address}: {one.losses[-1].reason}" for one in self.members if one.losses)
            self.failure = RunFailedError(f"expected a node to answer, found all lost ({reasons})")

    def _repeat_late(self) -> None:
        """At the end of a test a slow node may have work for long: what an idle one would do in less than half the
        time is sent there too, and the first answer counts."""
        with self._lock:
            now_s = self._clock.now()
            for idle in (one for one in self.members if one.has_idle_instance and not self._waiting):
                slow = max(self.members, key=lambda one: one.busy_s(now_s))
                for sent in reversed(list(slow.in_flight.values())):  # the last one first: it may not have begun
                    is_late = now_s - sent.sent_s > LATE_S and slow.busy_s(now_s) > 2 * idle.seconds(sent.job)
                    if is_late and idle.has_idle_instance and self._copies.add(sent.job):
                        idle.send(sent.job, sent.done, now_s)

    def lose(self, member: Member, link: Link, reason: str, retry_s: float = REJOIN_S) -> None:
        """The node is lost: its jobs go back to their owner, and it is tried again after `retry_s`."""
        reason = reason.rstrip(".")
        with self._lock:
            if self._closing.is_set() or member.link is not link:
                return
            had = member.lose()
            lost = [sent for sent in had if self._copies.is_lost(sent.job)]
            self._count()
            member.losses.append(NodeLoss(unix_s=time.time(), reason=reason, jobs_moved=len(had)))
            if not self.active:
                self._none_since_s = self._clock.now()
        link.drop()
        again = f" {count(len(had), 'batch', 'batches')} of it to be done again elsewhere." if had else ""
        tell(f"node {member.address} is lost: {reason}.{again}")
        error = RunFailedError(f"the node at {member.address} is lost: {reason}")
        for sent in lost:
            sent.done(Outcome(sent.job, Answer(None, error=error), member.first_instance, lost=True))
        name = f"rejoin {member.address}"
        threading.Thread(target=self._rejoin, args=(member, retry_s), name=name, daemon=True).start()

    def back(self, member: Member, link: Link, about: About, credits: int) -> None:
        """A lost node has a new link, and gets jobs again."""
        lost = member.address
        moved = about.address != lost
        with self._lock:
            member.join(link, about, credits)
            self._count()
            loss = replace(member.losses[-1], back_unix_s=time.time(), address=lost if moved else None)
            member.losses[-1] = loss
            self._none_since_s = None
            self._send_waiting()
        tell(f"node {about.address} takes the place of {lost}." if moved else f"node {lost} is back.")

    def _count(self) -> None:
        self.active = sum(member.about.instances for member in self.members if member.link is not None)

    def record(self) -> tuple[NodeRecord, ...]:
        """The nodes and what they did, for run.json."""
        with self._lock:
            return tuple(member.record() for member in self.members)


def tell(text: str) -> None:
    """A line on the screen, during the test."""
    print(text, file=sys.stderr, flush=True)
