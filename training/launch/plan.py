"""How many nodes and processes a run has: what its configuration names, what is typed, and what this machine has.

The global batch belongs to the configuration: other numbers of processes train the same samples, in other shares.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from foundation.people_numbers import count
from sut.errors import UsageError
from sut.machine import topology

MAX_NODES, MAX_PROCESSES, MAX_PORT = 10_000, 1_024, 65_535
_NODES = re.compile(r"(\d{1,6})(?::(\d{1,6}))?")
_ADDRESS = re.compile(r"(?P<host>[^\s:/]+):(?P<port>\d{1,5})")


@dataclass(frozen=True)
class Nodes:
    """From `least` to `most` nodes; where they differ, nodes may leave and join."""

    least: int
    most: int

    def __str__(self) -> str:
        return str(self.most) if self.least == self.most else f"{self.least}:{self.most}"

    @property
    def may_change(self) -> bool:
        return self.least < self.most


@dataclass(frozen=True)
class Address:
    """Where the nodes meet: a name or number of one of them, and a free port of it."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long what is waited for, in seconds.

    Attributes:
        join_s: for enough nodes to start.
        last_call_s: for more nodes, once enough are there; only where their number may change.
        keep_alive_s: a node that has been silent for so long is lost.
        stop_s: for processes that are asked to end, which write a checkpoint first.
        answer_s: of a rendezvous that has accepted a connection.
        seen_s: for a file of another node to be seen in a shared folder.
        leave_s: of the node that ends the run, until the other ones know why it ended.
    """

    join_s: int = 600
    last_call_s: int = 30
    keep_alive_s: int = 15
    stop_s: int = 60
    answer_s: float = 30.0
    seen_s: float = 20.0
    leave_s: float = 5.0


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The processes of a run.

    Attributes:
        processes: on this node.
        threads: of each process, for its arithmetic on a CPU.
        address: None: this node is alone and picks a free port itself.
        max_restarts: in a row without a new checkpoint.
    """

    nodes: Nodes
    processes: int
    threads: int
    address: Address | None = None
    max_restarts: int = 3
    patience: Patience = Patience()

    @property
    def is_one_process(self) -> bool:
        """Whether nothing has to be started: the process that asks is the run."""
        return self.nodes == Nodes(1, 1) and self.processes == 1

    def note(self, nodes: int, processes: int, batch: int) -> str | None:
        """What differs from a configuration for nodes × processes; None if nothing does."""
        planned, most = nodes * processes, self.nodes.most * self.processes
        if planned == most and not self.nodes.may_change:
            return None
        found = str(most) if not self.nodes.may_change else f"{self.nodes.least * self.processes} to {most}"
        return (
            f"note: the configuration is for {count(planned, 'process', 'processes')}, this run has {found}. "
            f"The global batch stays {batch:,}: the same samples are trained, in other shares."
        )


def nodes(text: str) -> Nodes:
    """`2`, or `1:2` for a number that may change.

    Raises:
        UsageError: it is neither.
    """
    found = _NODES.fullmatch(text)
    least = int(found[1]) if found else 0
    most = int(found[2] or found[1]) if found else 0
    if not 1 <= least <= most <= MAX_NODES:
        raise UsageError(f"--nodes: expected a number such as 2, or MIN:MAX such as 1:2, found {text!r}.")
    return Nodes(least, most)


def address(text: str) -> Address:
    """HOST:PORT.

    Raises:
        UsageError: it is something else.
    """
    found = _ADDRESS.fullmatch(text)
    if not found or not 1 <= int(found["port"]) <= MAX_PORT:
        raise UsageError(f"--rendezvous: expected HOST:PORT such as node-a:29500, found {text!r}.")
    return Address(found["host"], int(found["port"]))


def layout(
    nodes: Nodes,
    processes: int,
    address: Address | None,
    *,
    gpus: int = 0,
    typed: bool = False,
    max_restarts: int = 3,
    patience: Patience = Patience(),
) -> Layout:
    """The layout of these numbers on this machine.

    Args:
        gpus: of this machine, one for each process; 0: the processes share its cores.
        typed: the number of processes is a person's, who may want more of them than there are cores.

    Raises:
        UsageError: the machine has too few devices; or several nodes without an address.
    """
    cores = usable_cores()
    devices, noun = (gpus, "GPU") if gpus else (cores, "core")
    if processes > devices and not (typed and not gpus):
        raise UsageError(
            f"expected a {noun} for each of {processes} processes on this machine, found {count(devices, noun)}. "
            f"Type: --processes {devices}"
        )
    if address is None and nodes.most > 1:
        raise UsageError(
            f"expected --rendezvous for {nodes} nodes: the name of one of them and a free port of it. "
            "Type on each node: --rendezvous HOST:29500"
        )
    threads = max(1, cores // processes)
    return Layout(
        nodes=nodes,
        processes=processes,
        threads=threads,
        address=address,
        max_restarts=max_restarts,
        patience=patience,
    )


def usable_cores(root: Path = Path("/")) -> int:
    """Physical cores that this process may use, within the CPU time that its cgroup grants."""
    machine = topology.this_machine() if root == Path("/") else topology.read(root, range(1024))
    cores = len({cpu.core for cpu in machine.cpus})
    return max(1, min(cores, int(machine.quota) if machine.quota else cores))
