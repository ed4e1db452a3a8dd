"""A node's machine as it says it itself: for the record of a run, and for the system description of a submission."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from foundation.bounded_readers import UnreadableError
from foundation.typed_json import decode
from sut.machine.facts import MachineFacts
from sut.machine.topology import Topology


@dataclass(frozen=True)
class NodeAccelerator:
    """A device that computes there."""

    name: str
    memory_bytes: int


@dataclass(frozen=True, kw_only=True)
class NodeMachine:
    """What `nodes.machine` in run.json holds; nodes of other versions and kinds may say less."""

    facts: MachineFacts | None = None
    topology: Topology | None = None
    threads: int | None = None  # of an instance
    description: Mapping[str, str] = field(default_factory=dict)  # keys of a system description (machine.description)
    accelerators: tuple[NodeAccelerator, ...] = ()
    engine: Mapping[str, object] = field(default_factory=dict)  # the settings that a built engine was built from


def of(said: Mapping[str, object]) -> NodeMachine:
    """What a node says, as far as it can be read."""
    try:
        return decode(NodeMachine, said)
    except UnreadableError:
        return NodeMachine()
