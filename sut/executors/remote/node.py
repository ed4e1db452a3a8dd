"""One node as a run sees it: its connection, its queries under way, and its history."""

from __future__ import annotations

from dataclasses import dataclass, field

from sut.executors.base import Done, Job
from sut.executors.remote.samples import SampleFrames
from sut.nodes.addresses import Address
from sut.nodes.channel import Channel
from sut.nodes.messages import Welcome
from sut.record.nodes import NodeLoss


@dataclass(frozen=True, eq=False)
class Sent:
    """A query under way."""

    job: Job
    done: Done
    deadline_s: float


@dataclass(eq=False)
class RemoteNode:
    """Not thread-safe: the executor holds its lock."""

    address: Address
    welcome: Welcome
    channel: Channel | None  # None: it is lost
    first_instance: int  # the number of its first one among all instances
    numbers: int  # of its instances at the start; it may come back with more
    has_features: bool
    samples_per_s: float = 1.0  # of all its instances; measured at warm-up
    patience_s: float = 0.0  # for an answer
    credits: int = 0
    in_flight: dict[int, Sent] = field(default_factory=dict)  # by number, the oldest first
    next_number: int = 1
    queries: int = 0  # answered
    samples: int = 0
    unowned: int = 0  # answers that came twice, or too late
    losses: list[NodeLoss] = field(default_factory=list)

    @property
    def instances(self) -> int:
        return len(self.welcome.instances)

    @property
    def has_credit(self) -> bool:
        return self.channel is not None and len(self.in_flight) < self.credits

    @property
    def expected_end(self) -> float:
        """When another job would be done here, relative to the other nodes."""
        return (len(self.in_flight) + 1) / self.samples_per_s

    def send(self, job: Job, done: Done, frames: SampleFrames, now_s: float) -> None:
        """Send a job. Does not block."""
        assert self.channel is not None
        number, self.next_number = self.next_number, self.next_number + 1
        self.in_flight[number] = Sent(job, done, now_s + self.patience_s)
        self.channel.send(frames.frame(job, number, has_features=self.has_features))

    def overdue(self, now_s: float) -> bool:
        """Whether its oldest job has passed its deadline."""
        oldest = next(iter(self.in_flight.values()), None)
        return oldest is not None and now_s > oldest.deadline_s

    def number_of(self, instance: int) -> int:
        """The number among all instances of one of its own."""
        return self.first_instance + min(instance, self.numbers - 1)

    def lose(self) -> list[Sent]:
        """Forget the connection and its queries, so that no late answer has an owner; returns the queries."""
        found = list(self.in_flight.values())
        self.in_flight, self.channel, self.credits = {}, None, 0
        return found

    def join(self, channel: Channel, welcome: Welcome) -> None:
        """Take up a new connection."""
        self.channel, self.welcome, self.credits = channel, welcome, welcome.credits
