"""One node as a run sees it: how it is reached, its jobs under way, and its history."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from sut.executors.base import Done, Job
from sut.record.nodes import NodeLoss, NodeRecord


class Link(Protocol):
    """The way to a node; another one once the node is back."""

    def send(self, job: Job, number: int) -> None:
        """Send a job, which is answered by its number. Does not block, and never raises: a fault is a loss."""

    def drop(self) -> None:
        """End it: the node is lost."""


@dataclass(frozen=True, kw_only=True)
class About:
    """What a node is."""

    address: str
    name: str
    instances: int
    planned_for: str  # the scenario of its plan of cores
    sent: str  # see `record.nodes.NodeRecord`
    engine: str | None = None
    machine: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Sent:
    """A job under way."""

    job: Job
    done: Done
    sent_s: float
    deadline_s: float


@dataclass(eq=False)
class Member:
    """One node of a fleet. Not thread-safe: the executor holds its lock."""

    about: About
    first_instance: int  # the number of its first one among all instances
    numbers: int  # of its instances at the start; it may come back with more
    link: Link | None = None  # None: it is lost
    forms_batches: bool = False  # jobs are single samples
    samples_per_s: float = 1.0  # of all its instances; measured at warm-up
    patience_s: float = 0.0  # for an answer
    credits: int = 0  # jobs that it may have at a time
    in_flight: dict[int, Sent] = field(default_factory=dict)  # by number, the oldest first
    next_number: int = 1
    answered_s: float = 0.0  # when it answered last
    batches: int = 0  # answered
    samples: int = 0
    unowned: int = 0  # answers that came twice, or too late
    losses: list[NodeLoss] = field(default_factory=list)

    @property
    def address(self) -> str:
        return self.about.address

    @property
    def takes_jobs(self) -> bool:
        """Whether it is there, and is not ending."""
        return self.link is not None and self.credits > 0

    @property
    def has_credit(self) -> bool:
        return self.link is not None and len(self.in_flight) < self.credits

    @property
    def expected_end(self) -> float:
        """When another job would be done here, relative to the other nodes."""
        return (len(self.in_flight) + 1) / self.samples_per_s

    @property
    def has_idle_instance(self) -> bool:
        return self.has_credit and len(self.in_flight) < self.about.instances

    def busy_s(self, now_s: float) -> float:
        """For how long its jobs will still take, by its speed; a job that is older may take as long again."""
        samples = sum(len(sent.job.ids) for sent in self.in_flight.values())
        oldest = next(iter(self.in_flight.values()), None)
        return max(samples / self.samples_per_s, now_s - oldest.sent_s if oldest else 0.0)

    def seconds(self, job: Job) -> float:
        """The time of a job on one of its instances."""
        return len(job.ids) * self.about.instances / self.samples_per_s

    def send(self, job: Job, done: Done, now_s: float) -> None:
        """Send a job. Does not block."""
        assert self.link is not None
        number, self.next_number = self.next_number, self.next_number + 1
        self.in_flight[number] = Sent(job, done, now_s, now_s + self.patience_s)
        self.link.send(job, number)

    def is_overdue(self, now_s: float) -> bool:
        """Whether its oldest job has passed its deadline.

        Where it forms the batches, a sample may wait while others are answered: the deadline is that of any answer.
        """
        oldest = next(iter(self.in_flight.values()), None)
        if oldest is None:
            return False
        answer_s = self.answered_s + self.patience_s if self.forms_batches else 0.0
        return now_s > max(oldest.deadline_s, answer_s)

    def number_of(self, instance: int) -> int:
        """The number among all instances of one of its own."""
        return self.first_instance + min(instance, self.numbers - 1)

    def lose(self) -> list[Sent]:
        """Forget the link and its jobs, so that no late answer has an owner; returns the jobs."""
        found = list(self.in_flight.values())
        self.in_flight, self.link, self.credits = {}, None, 0
        return found

    def join(self, link: Link, about: About, credits: int) -> None:
        """Take up a new link."""
        self.link, self.about, self.credits = link, about, credits

    def record(self) -> NodeRecord:
        """What it is and what it did, for run.json."""
        return NodeRecord(
            address=self.address,
            name=self.about.name,
            instances=self.about.instances,
            planned_for=self.about.planned_for,
            sent=self.about.sent,
            samples_per_s=self.samples_per_s,
            batches=self.batches,
            samples=self.samples,
            unowned_answers=self.unowned,
            losses=tuple(self.losses),
            engine=self.about.engine,
            machine=self.about.machine,
        )
