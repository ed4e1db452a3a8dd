"""Runs jobs on nodes over framed TCP (docs/design/fleet.md).

One thread reads, writes what the kernel did not take at once, counts deadlines and completes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from foundation.foreign_text import printable
from qsl.base import Features
from sut.errors import RunFailedError, UserError
from sut.executors.base import Answer, Job, Ready
from sut.executors.fleet.executor import MOST_REJOIN_S, FleetExecutor
from sut.executors.fleet.member import About, Link, Member
from sut.executors.remote import warm_up
from sut.executors.remote.names import NameRounds
from sut.executors.remote.samples import SampleFrames
from sut.executors.remote.terms import Terms
from sut.nodes import messages
from sut.nodes.addresses import Address
from sut.nodes.channel import Channel
from sut.nodes.errors import NodeError
from sut.nodes.frames import Frame, Kind
from sut.nodes.handshake import Node
from sut.nodes.loop import Loop
from sut.nodes.messages import MOST_TEXT, InstanceSpeed, Welcome

Connect = Callable[[Address], Node]


@dataclass(frozen=True, eq=False)
class _Connection(Link):
    """A link that is a connection; it is served by the loop until one of the two ends it."""

    channel: Channel
    frames: SampleFrames
    has_features: bool
    loop: Loop

    def send(self, job: Job, number: int) -> None:
        self.channel.send(self.frames.frame(job, number, has_features=self.has_features))

    def drop(self) -> None:
        self.loop.drop(self.channel)


class RemoteExecutor(FleetExecutor):
    """See `base.Executor`.

    Args:
        nodes: where they are, and the connections to them.
        connect: connects again to a node that was lost; raises NodeError, or UsageError if it is another one by now.
        features: the run's, and their digest.
        single_samples: jobs are single samples, sent as tokens, and the nodes form the batches (network division).
    """

    def __init__(
        self,
        nodes: Sequence[tuple[Address, Node]],
        connect: Connect,
        features: Features,
        digest: str,
        terms: Terms,
        *,
        single_samples: bool = False,
    ) -> None:
        self._single_samples, self._names = single_samples, NameRounds()
        self._connect, self._digest, self._terms = connect, digest, terms
        abouts = [self._about(address, welcome) for address, (_, welcome) in nodes]
        super().__init__(abouts, terms.rows, terms.none_left_s)
        for member in self.members:
            member.forms_batches = single_samples
        self._addresses = dict(zip(self.members, (address for address, _ in nodes), strict=True))
        self._frames = SampleFrames(features)
        self._loop = Loop("nodes", self.tick, self._defect)
        self._first = [node for _, node in nodes]

    def _about(self, address: Address, welcome: Welcome) -> About:
        return About(
            address=str(address),
            name=welcome.name,
            instances=len(welcome.instances),
            planned_for=welcome.planned_for,
            sent="single samples" if self._single_samples else "indexes" if self._has_features(welcome) else "tokens",
            engine=welcome.engine,
            machine=welcome.machine,
        )

    def _has_features(self, welcome: Welcome) -> bool:
        return not self._single_samples and welcome.identity.features == self._digest

    @property
    def credits(self) -> int:
        """Jobs that the nodes take at a time, all together."""
        return sum(member.credits for member in self.members)

    def names(self) -> list[str]:
        """The name of each node, which it is asked for each time. Blocks for a round trip."""
        with self._lock:
            links = {one.address: one.link for one in self.members if isinstance(one.link, _Connection)}
        return self._names.ask(self.members, {address: link.channel for address, link in links.items()})

    def start(self) -> list[Ready]:
        for member, (channel, welcome) in zip(self.members, self._first, strict=True):
            member.patience_s = self._terms.warm_up_s(welcome.instances)
            link = self._link(channel, welcome)
            member.join(link, member.about, welcome.credits)
            self._serve(member, link)
        self._loop.start()
        with ThreadPoolExecutor(len(self.members)) as pool:
            speeds = list(pool.map(self._measure, self.members, [welcome for _, welcome in self._first]))
        self.repeats_late = not self._single_samples
        found = zip(speeds, (welcome.instances for _, welcome in self._first), strict=True)
        return [_with_facts(speed, one) for speed, instances in found for one in instances]

    def _measure(self, member: Member, welcome: Welcome) -> Ready:
        """The speed of each of a node's instances, over the network, while all nodes are measured."""
        speed = warm_up.measure(partial(self.send_to, member), member, welcome.instances, self._terms)
        member.samples_per_s = speed.samples_per_s * member.about.instances
        member.patience_s = self._terms.deadline_s(speed)
        member.batches = member.samples = 0
        return speed

    def _link(self, channel: Channel, welcome: Welcome) -> _Connection:
        return _Connection(channel, self._frames, self._has_features(welcome), self._loop)

    def _serve(self, member: Member, link: _Connection) -> None:
        self._loop.add(link.channel, partial(self._on_frame, member, link), partial(self.lose, member, link))

    def _on_frame(self, member: Member, link: _Connection, frame: Frame) -> None:
        match frame.kind:
            case Kind.ANSWER:
                rows = messages.from_rows(frame.payload)
                answer = Answer(rows.outputs, rows.computed_tokens, rows.batch_s, rows.engine_s)
                self.answered(member, frame.number, answer, rows.instance)
            case Kind.ERROR if frame.number:
                error = RunFailedError(f"the node at {member.address}: {messages.from_text(frame.payload)}")
                self.answered(member, frame.number, Answer(None, error=error), 0)
            case Kind.CREDITS:
                self.grant(member, messages.from_count(frame.payload))
            case Kind.NAME:
                self._names.answered(member, frame)
            case Kind.PING:
                link.channel.send(Frame(Kind.PONG, frame.number))
            case Kind.ERROR | Kind.BYE:
                raise NodeError(messages.from_text(frame.payload))
            case _:
                pass

    def _rejoin(self, member: Member, wait_s: float) -> None:
        address = self._addresses[member]
        while not self._closing.wait(wait_s):
            wait_s = min(2 * wait_s, MOST_REJOIN_S)
            with suppress(UserError):
                channel, welcome = self._connect(address)
                link = self._link(channel, welcome)
                with self._lock:  # whatever it says first is heard of a node that is back
                    self._serve(member, link)
                    self.back(member, link, self._about(address, welcome), welcome.credits)
                return

    def _defect(self, error: Exception) -> None:
        self.failure = self.failure or error

    def close(self) -> None:
        self._closing.set()
        with self._lock:
            for member in self.members:
                if isinstance(member.link, _Connection):
                    member.link.channel.send(Frame(Kind.BYE, 0))
        self._loop.close()


def _with_facts(speed: Ready, own: InstanceSpeed) -> Ready:
    """The speed from here, and what the node says of the loaded instance; a remark is shown on a terminal."""
    return replace(
        speed,
        blas_threads=own.blas_threads,
        remark=own.remark and printable(own.remark)[:MOST_TEXT],
        product_weights=own.product_weights,
        attention_channels=own.attention_channels,
    )
