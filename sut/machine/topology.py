"""Which cores each instance has: read from the machine, planned before anything starts.

An instance stays within one NUMA node and pins itself before it loads its engine, so that its memory is first touched
on that node. Physical cores are given out; their hyper-threads only when more is asked for than there are cores. Where
a cgroup grants less time than there are cores, others share those cores: instances are then held to a node, not to
cores of their own, which a neighbour might have chosen as well.

    python -m sut.machine.topology            # this machine, and the plan for each scenario
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from sut.errors import UsageError
from sut.machine import cgroups

ALONE = 1  # core of instances that share weights, where nobody waits for one sample: no thread then waits for another
# Cores of an instance unless asked otherwise; None: one instance with all cores of a node.
CORES_PER_INSTANCE: dict[str, int | None] = {"Offline": 4, "Server": 4, "SingleStream": None, "MultiStream": None}
_CPUS, _NODES = "sys/devices/system/cpu", "sys/devices/system/node"
Nodes = dict[int, list[int]]  # NUMA node → its cpus, in the order in which they are given out


@dataclass(frozen=True)
class Cpu:
    """One cpu as the kernel counts them; those of one core are its hyper-threads."""

    number: int
    core: int  # the lowest cpu of the same core
    node: int


@dataclass(frozen=True)
class Machine:
    """What this process may use."""

    cpus: tuple[Cpu, ...]
    quota: float | None  # cores' worth of time that the cgroups grant; None: all there is
    can_pin: bool


@dataclass(frozen=True)
class Place:
    """One instance's cores and the NUMA node that they are of; it may run on any of `cpus`, `cores` at a time."""

    node: int
    cores: int
    cpus: tuple[int, ...]
    pinned: bool
    gpu: int = 0  # for a backend that runs on GPUs, which one

    def pin(self) -> None:
        """Keep this process, and all threads that it makes from now on, to these cpus; nothing where that cannot be."""
        if self.pinned:
            os.sched_setaffinity(0, self.cpus)


@dataclass(frozen=True)
class InstanceCores:
    """Where one instance runs, as run.json says it."""

    node: int
    cores: int
    cpus: tuple[int, ...]
    gpu: int | None = None  # None where the backend computes on the cores


@dataclass(frozen=True, kw_only=True)
class Topology:
    """The machine's cores and the plan of a run's instances."""

    pinned: bool
    weights_shared: bool
    environment: Mapping[str, str] = field(default_factory=dict)  # set for every instance
    cpus_by_node: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    physical_cores: int
    quota_cores: float | None = None
    gpus: tuple[str, ...] = ()
    instances: tuple[InstanceCores, ...]


def this_machine() -> Machine:
    """The machine as this process sees it."""
    can_pin = hasattr(os, "sched_setaffinity")
    return read(Path("/"), os.sched_getaffinity(0) if can_pin else range(os.cpu_count() or 1), can_pin=can_pin)


def read(root: Path, allowed: Iterable[int], *, can_pin: bool = True) -> Machine:
    """The machine below `root`, which has the kernel's /sys and /proc; what is missing there counts as one plain node.

    Args:
        allowed: cpus that this process may run on.
    """
    online = _cpu_list(root / _CPUS / "online")
    usable = sorted(set(allowed) & online if online else allowed)
    node_of = {
        cpu: int(path.parent.name.removeprefix("node"))
        for path in (root / _NODES).glob("node[0-9]*/cpulist")
        for cpu in _cpu_list(path)
    }
    cpus = tuple(Cpu(number, _core(root, number), node_of.get(number, 0)) for number in usable)
    return Machine(cpus, cgroups.cores(root), can_pin)


def _core(root: Path, number: int) -> int:
    """Kernels before 5.0 call the same list by the second name."""
    at = root / _CPUS / f"cpu{number}" / "topology"
    return min(_cpu_list(at / "core_cpus_list") or _cpu_list(at / "thread_siblings_list") or {number})


def _cpu_list(path: Path) -> set[int]:
    """`0-3,8` as a set; empty when there is no such file."""
    found: set[int] = set()
    for part in cgroups.text(path).split(","):
        first, _, last = part.partition("-")
        if first:
            found |= set(range(int(first), int(last or first) + 1))
    return found


def plan(
    machine: Machine, scenario: str, instances: int | None = None, cores_per_instance: int | None = None
) -> tuple[Place, ...]:
    """A place for each instance; what is None is chosen by the scenario and the machine.

    Raises:
        UsageError: there are too few cores, or no NUMA node is large enough for an instance.
    """
    limit = max(1, int(machine.quota)) if machine.quota else len(machine.cpus)
    for nodes in (_physical(machine), _by_core(machine)):
        room = _room(nodes, limit)
        cores = cores_per_instance or _cores(room, scenario, instances)
        fitting = sum(free // cores for free in room.values()) if cores else 0
        count = instances or (min(fitting, 1) if CORES_PER_INSTANCE[scenario] is None else fitting)
        if 0 < count <= fitting:
            return _assign(machine, nodes, room, count, cores)
    raise UsageError(_too_few(machine, instances, cores_per_instance))


def _physical(machine: Machine) -> Nodes:
    """One cpu of every core."""
    first: dict[int, Cpu] = {}
    for cpu in machine.cpus:
        first.setdefault(cpu.core, cpu)
    return _nodes(first.values())


def _by_core(machine: Machine) -> Nodes:
    """Every cpu, those of one core side by side: instances share a core only where they must."""
    return _nodes(sorted(machine.cpus, key=lambda cpu: (cpu.core, cpu.number)))


def _nodes(cpus: Iterable[Cpu]) -> Nodes:
    nodes: Nodes = {}
    for cpu in cpus:
        nodes.setdefault(cpu.node, []).append(cpu.number)
    return dict(sorted(nodes.items(), key=lambda item: (-len(item[1]), item[0])))


def _room(nodes: Nodes, limit: int) -> dict[int, int]:
    """Cores to give out per node, largest node first, `limit` in all."""
    room: dict[int, int] = {}
    for node, cpus in nodes.items():
        room[node] = min(len(cpus), limit)
        limit -= room[node]
    return room


def _cores(room: dict[int, int], scenario: str, instances: int | None) -> int:
    """Cores of each instance: as many as let so many instances fit, or about what the table says, evenly cut."""
    largest = max(room.values())
    if instances:
        fitting = (cores for cores in range(largest, 0, -1) if sum(n // cores for n in room.values()) >= instances)
        return next(fitting, 0)
    wanted = CORES_PER_INSTANCE[scenario] or largest
    return largest // -(-largest // wanted)


def _assign(machine: Machine, nodes: Nodes, room: dict[int, int], count: int, cores: int) -> tuple[Place, ...]:
    """Nodes take turns, so that few instances have the memory of all nodes."""
    shared = machine.quota is not None and sum(room.values()) < sum(map(len, nodes.values()))
    taken = dict.fromkeys(room, 0)
    places: list[Place] = []
    while len(places) < count:
        for node in [node for node in room if room[node] - taken[node] >= cores][: count - len(places)]:
            own = nodes[node][taken[node] : taken[node] + cores]
            places.append(Place(node, cores, tuple(nodes[node] if shared else own), machine.can_pin))
            taken[node] += cores
    return tuple(places)


def _too_few(machine: Machine, instances: int | None, cores: int | None) -> str:
    wanted = f"{instances or 'at least 1'} instance{'s' * (instances != 1)} of {cores or 'at least 1'} cores"
    sizes = ", ".join(f"{len(cpus)} on NUMA node {node}" for node, cpus in _by_core(machine).items())
    quota = f" and a cgroup that grants {machine.quota:g}" if machine.quota else ""
    return (
        f"expected {wanted}, each within one NUMA node; found {sizes}{quota}. Lower --instances or "
        f"--cores-per-instance."
    )


def on_gpus(places: Iterable[Place], gpus: int) -> tuple[Place, ...]:
    """The same places, the GPUs in turns; as they were where there are none."""
    return tuple(replace(place, gpu=number % gpus if gpus else 0) for number, place in enumerate(places))


def environment(forked: bool) -> dict[str, str]:
    """What instances' libraries read on import, so that they make no threads that nobody uses or that a fork loses."""
    return {"OPENBLAS_NUM_THREADS": "1"} | ({"OMP_NUM_THREADS": "1"} if forked else {})


def facts(
    machine: Machine,
    places: Iterable[Place],
    forked: bool,
    variables: Mapping[str, str] | None = None,
    gpus: Sequence[str] = (),
) -> Topology:
    """The machine and the plan; `variables` are set for every instance in addition to our own."""
    return Topology(
        pinned=machine.can_pin,
        weights_shared=forked,
        environment=environment(forked) | dict(variables or {}),
        cpus_by_node={node: tuple(cpus) for node, cpus in _by_core(machine).items()},
        physical_cores=len({cpu.core for cpu in machine.cpus}),
        quota_cores=machine.quota,
        gpus=tuple(gpus),
        instances=tuple(InstanceCores(one.node, one.cores, one.cpus, one.gpu if gpus else None) for one in places),
    )


def main() -> None:
    """Print the plan of each scenario on this machine, as JSON."""
    machine = this_machine()
    for scenario in CORES_PER_INSTANCE:
        found = facts(machine, plan(machine, scenario), False).instances
        print(scenario, json.dumps([asdict(one) for one in found]))


if __name__ == "__main__":
    main()
