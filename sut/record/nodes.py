"""The nodes of a run on several machines, for run.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from foundation.typed_json import UNLESS_NONE


@dataclass(frozen=True, kw_only=True)
class NodeLoss:
    """One time that a node was lost."""

    unix_s: float
    reason: str
    jobs_moved: int  # unanswered, and submitted to another node, or to this one once it was back
    back_unix_s: float | None = field(default=None, metadata=UNLESS_NONE)
    address: str | None = field(default=None, metadata=UNLESS_NONE)  # of the lost node, if another one took its place


@dataclass(frozen=True, kw_only=True)
class NodeRecord:
    """One node: what it is and what it did."""

    address: str
    name: str
    instances: int
    planned_for: str  # the scenario of its plan of cores
    sent: str  # "indexes", where it has the same features, or "tokens", or "single samples", as tokens
    samples_per_s: float  # of all its instances, measured over the network before the test
    batches: int
    samples: int
    unowned_answers: int = 0  # came twice or after their deadline, and were thrown away
    losses: tuple[NodeLoss, ...] = ()
    engine: str | None = field(default=None, metadata=UNLESS_NONE)  # its built engine's key
    machine: Mapping[str, object] = field(default_factory=dict)

    @property
    def lost(self) -> tuple[str, ...]:
        """Addresses of the nodes that were lost here."""
        return tuple(dict.fromkeys(loss.address or self.address for loss in self.losses))


@dataclass(frozen=True, kw_only=True)
class ClusterRecord:
    """The cluster that a run borrowed its nodes from."""

    kind: str  # "ray"
    version: str
    address: str
    is_own: bool  # started by this run, and ended with it
    token_authentication: bool  # False: whoever reaches it can run code on its nodes
