"""The cores of each instance: reads the machine's topology and plans before any instance starts.

An instance stays within one NUMA node and pins itself before it loads its engine, so that its memory is first touched
on that node. Physical cores are assigned first, hyper-threads only if more cores are requested. If a cgroup limits the
CPU time to less than the cores, other containers share these cores: instances are then pinned to a node instead of to
single cores, which another container may use as well.

    python -m sut.machine.topology            # this machine, and the plan for each scenario
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from foundation import program
from sut.errors import VALID, UsageError
from sut.machine import cgroups

# Cores per instance in throughput scenarios with shared weights: one, which avoids barriers between threads.
ONE_CORE = 1
# Default cores per instance; None: one instance with all cores of a node.
CORES_PER_INSTANCE: dict[str, int | None] = {"Offline": 4, "Server": 4, "SingleStream": None, "MultiStream": None}
_CPUS, _NODES, _PCI = "sys/devices/system/cpu", "sys/devices/system/node", "sys/bus/pci/devices"
_HUGE_PAGES = "glibc.malloc.hugetlb=1"  # since glibc 2.35; "1": by madvise
Nodes = dict[int, list[int]]  # NUMA node → its cpus, in the order of assignment


@dataclass(frozen=True)
class Cpu:
    """One logical cpu of the kernel; the cpus of one core are its hyper-threads."""

    number: int
    core: int  # the lowest cpu of the same core
    node: int


@dataclass(frozen=True)
class Machine:
    """The cpus and the CPU time that this process may use."""

    cpus: tuple[Cpu, ...]
    quota: float | None  # CPU time in cores granted by the cgroups; None: no limit
    can_pin: bool


@dataclass(frozen=True)
class Place:
    """One instance's cores and their NUMA node; it may run on any of `cpus`, on `cores` of them at a time."""

    node: int
    cores: int
    cpus: tuple[int, ...]
    pinned: bool
    gpu: int = 0  # the index of its GPU, for a backend that runs on GPUs

    def pin(self) -> None:
        """Pin this process and the threads that it creates from now on to these cpus, if the platform can."""
        if self.pinned:
            os.sched_setaffinity(0, self.cpus)


@dataclass(frozen=True)
class InstanceCores:
    """The cores of one instance, in the form of run.json."""

    node: int
    cores: int
    cpus: tuple[int, ...]
    gpu: int | None = None  # None if the backend runs on the cores


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
    """The machine with the cpus that this process may use."""
    can_pin = hasattr(os, "sched_setaffinity")
    return read(Path("/"), os.sched_getaffinity(0) if can_pin else range(os.cpu_count() or 1), can_pin=can_pin)


def read(root: Path, allowed: Iterable[int], *, can_pin: bool = True) -> Machine:
    """The machine below `root`, which has the kernel's /sys and /proc; without them it is a single node.

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
    """The lowest cpu of the same core; kernels before 5.0 use the second file name."""
    at = root / _CPUS / f"cpu{number}" / "topology"
    return min(_cpu_list(at / "core_cpus_list") or _cpu_list(at / "thread_siblings_list") or {number})


def _cpu_list(path: Path) -> set[int]:
    """`0-3,8` as a set; empty if the file does not exist."""
    found: set[int] = set()
    for part in cgroups.text(path).split(","):
        first, _, last = part.partition("-")
        if first:
            found |= set(range(int(first), int(last or first) + 1))
    return found


def plan(
    machine: Machine,
    scenario: str,
    instances: int | None = None,
    cores_per_instance: int | None = None,
    near: Collection[int | None] = (),
) -> tuple[Place, ...]:
    """A place for each instance; None arguments are chosen by scenario and machine.

    Args:
        near: NUMA nodes of the GPUs; instances stay on these nodes if they fit. None is an unknown one.

    Raises:
        UsageError: there are too few cores, or no NUMA node is large enough for an instance.
    """
    limit = max(1, int(machine.quota)) if machine.quota else len(machine.cpus)
    closest = replace(machine, cpus=tuple(cpu for cpu in machine.cpus if cpu.node in near) or machine.cpus)
    for nodes in (layout(one) for one in (closest, machine) for layout in (_physical, _by_core)):
        available = _available(nodes, limit)
        cores = cores_per_instance or _cores(available, scenario, instances)
        fitting = sum(free // cores for free in available.values()) if cores else 0
        count = instances or (min(fitting, 1) if CORES_PER_INSTANCE[scenario] is None else fitting)
        if 0 < count <= fitting:
            return _assign(machine, nodes, available, count, cores)
    raise UsageError(_too_few(machine, instances, cores_per_instance))


def _physical(machine: Machine) -> Nodes:
    """One cpu of every core."""
    first: dict[int, Cpu] = {}
    for cpu in machine.cpus:
        first.setdefault(cpu.core, cpu)
    return _nodes(first.values())


def _by_core(machine: Machine) -> Nodes:
    """Every cpu, those of one core next to each other, so that instances share a core only if necessary."""
    return _nodes(sorted(machine.cpus, key=lambda cpu: (cpu.core, cpu.number)))


def _nodes(cpus: Iterable[Cpu]) -> Nodes:
    nodes: Nodes = {}
    for cpu in cpus:
        nodes.setdefault(cpu.node, []).append(cpu.number)
    return dict(sorted(nodes.items(), key=lambda item: (-len(item[1]), item[0])))


def _available(nodes: Nodes, limit: int) -> dict[int, int]:
    """Cores to assign per node, largest node first, `limit` in total."""
    available: dict[int, int] = {}
    for node, cpus in nodes.items():
        available[node] = min(len(cpus), limit)
        limit -= available[node]
    return available


def _cores(available: dict[int, int], scenario: str, instances: int | None) -> int:
    """Cores of each instance: as many as fit `instances`, or about the scenario's default, evenly divided."""
    largest = max(available.values())
    if instances:
        fitting = (cores for cores in range(largest, 0, -1) if sum(n // cores for n in available.values()) >= instances)
        return next(fitting, 0)
    requested = CORES_PER_INSTANCE[scenario] or largest
    return largest // -(-largest // requested)


def _assign(machine: Machine, nodes: Nodes, available: dict[int, int], count: int, cores: int) -> tuple[Place, ...]:
    """Assign cores to instances; nodes take turns, so that few instances use the memory of all nodes."""
    shared = machine.quota is not None and sum(available.values()) < sum(map(len, nodes.values()))
    taken = dict.fromkeys(available, 0)
    places: list[Place] = []
    while len(places) < count:
        for node in [node for node in available if available[node] - taken[node] >= cores][: count - len(places)]:
            chosen = nodes[node][taken[node] : taken[node] + cores]
            places.append(Place(node, cores, tuple(nodes[node] if shared else chosen), machine.can_pin))
            taken[node] += cores
    return tuple(places)


def _too_few(machine: Machine, instances: int | None, cores: int | None) -> str:
    requested = f"{instances or 'at least 1'} instance{'s' * (instances != 1)} of {cores or 'at least 1'} cores"
    sizes = ", ".join(f"{len(cpus)} on NUMA node {node}" for node, cpus in _by_core(machine).items())
    quota = f" and a cgroup that grants {machine.quota:g}" if machine.quota else ""
    return (
        f"expected {requested}, each within one NUMA node; found {sizes}{quota}. Lower --instances or "
        f"--cores-per-instance."
    )


def on_gpus(places: Iterable[Place], nodes: Sequence[int | None]) -> tuple[Place, ...]:
    """The same places with a GPU each: one of those that have the fewest instances, on the place's node if possible.

    Args:
        nodes: the NUMA node of each GPU, None if unknown; places are unchanged if there are none.
    """
    instances = [0] * len(nodes)
    found: list[Place] = []
    for place in places:
        gpu = min(range(len(nodes)), key=lambda one: (instances[one], nodes[one] != place.node), default=0)
        instances[gpu : gpu + 1] = [instances[gpu] + 1] if nodes else []
        found.append(replace(place, gpu=gpu))
    return tuple(found)


def pci_node(address: str, root: Path = Path("/")) -> int | None:
    """The NUMA node of a PCI device, such as "0000:3b:00.0"; None if the kernel does not know it."""
    node = cgroups.text(root / _PCI / address.lower() / "numa_node").strip()
    return int(node) if node.isdigit() else None  # -1: unknown


def environment(forked: bool) -> dict[str, str]:
    """Variables that instances start with: no thread exists before an instance is pinned, and none that a fork loses.

    A pinned instance then gives its BLAS the threads that it has (`sut.executors.blas_threads`). Large blocks of memory
    lie in huge pages, which most distributions give only on request; a user's own GLIBC_TUNABLES stay.
    """
    tunables = os.environ.get("GLIBC_TUNABLES", _HUGE_PAGES)
    return {"OPENBLAS_NUM_THREADS": "1", "GLIBC_TUNABLES": tunables} | ({"OMP_NUM_THREADS": "1"} if forked else {})


def facts(
    machine: Machine,
    places: Iterable[Place],
    forked: bool,
    variables: Mapping[str, str] | None = None,
    gpus: Sequence[str] = (),
) -> Topology:
    """The machine and the plan, for run.json; `variables` are set for every instance in addition to `environment`."""
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


def main() -> int:
    """Print the plan of each scenario on this machine, as JSON."""
    machine = this_machine()
    for scenario in CORES_PER_INSTANCE:
        found = facts(machine, plan(machine, scenario), False).instances
        print(scenario, json.dumps([asdict(one) for one in found]))
    return VALID


if __name__ == "__main__":
    sys.exit(program.run(main))
