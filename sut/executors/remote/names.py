"""The names of nodes in the network division: each node is asked over the network, each time that LoadGen asks.

A node that is lost or does not answer in time is named by its address, with what happened: LoadGen's thread must go on.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

from sut.executors.fleet.member import Member
from sut.nodes import messages
from sut.nodes.channel import Channel
from sut.nodes.frames import Frame, Kind

_PATIENCE_S = 5.0  # for all answers of a round
_POLL_S = 0.1


class NameRounds:
    """Rounds of questions for names, one at a time."""

    def __init__(self) -> None:
        self._round = 0
        self._answers: queue.SimpleQueue[tuple[int, Member, str]] = queue.SimpleQueue()

    def ask(self, members: Sequence[Member], channels: Mapping[str, Channel]) -> list[str]:
        """The names of `members` in their order; those with a channel (by address) are asked. Blocks."""
        self._round += 1
        for channel in channels.values():
            channel.send(Frame(Kind.NAME, self._round))
        names = self._collect([one for one in members if one.address in channels])
        return [names.get(one.address) or f"{one.address} ({_why_none(one)})" for one in members]

    def answered(self, member: Member, frame: Frame) -> None:
        """An answer, from the thread that reads."""
        self._answers.put((frame.number, member, messages.from_text(frame.payload)))

    def _collect(self, waiting: Sequence[Member]) -> Mapping[str, str]:
        names: dict[str, str] = {}
        until_s = time.monotonic() + _PATIENCE_S
        while any(one.link and one.address not in names for one in waiting) and time.monotonic() < until_s:
            with suppress(queue.Empty):
                number, member, name = self._answers.get(timeout=_POLL_S)
                if number == self._round:
                    names[member.address] = name
        return names


def _why_none(member: Member) -> str:
    return "lost" if member.link is None else "does not say its name"
