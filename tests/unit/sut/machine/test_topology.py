"""Machines as trees of files, and the places that instances get on them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.rules import SCENARIOS
from sut.errors import UsageError
from sut.machine.topology import (
    CORES_PER_INSTANCE,
    Cpu,
    Machine,
    environment,
    on_gpus,
    pci_node,
    plan,
    read,
    this_machine,
)

STREAMS = ("SingleStream", "MultiStream")


def write(root: Path, path: str, text: str) -> None:
    at = root / path
    at.parent.mkdir(parents=True, exist_ok=True)
    at.write_text(text + "\n", encoding="ascii")


def tree(root: Path, nodes: int, cores: int, threads: int = 2, list_name: str = "core_cpus_list") -> Path:
    """A machine as Linux numbers it: first one thread of every core, node after node, then the second threads."""
    total = nodes * cores
    write(root, "sys/devices/system/cpu/online", f"0-{total * threads - 1}")
    for number in range(total * threads):
        siblings = ",".join(str(number % total + total * thread) for thread in range(threads))
        write(root, f"sys/devices/system/cpu/cpu{number}/topology/{list_name}", siblings)
    for node in range(nodes):
        runs = [f"{t * total + node * cores}-{t * total + (node + 1) * cores - 1}" for t in range(threads)]
        write(root, f"sys/devices/system/node/node{node}/cpulist", ",".join(runs))
    return root


def cpus_of(places: object) -> list[tuple[int, ...]]:
    return [place.cpus for place in places]  # type: ignore[attr-defined]


@pytest.mark.parametrize("list_name", ["core_cpus_list", "thread_siblings_list"])
def test_two_sockets_with_hyper_threads(tmp_path: Path, list_name: str) -> None:
    machine = read(tree(tmp_path, nodes=2, cores=8, list_name=list_name), range(32))
    assert machine.quota is None
    assert {cpu.core for cpu in machine.cpus} == set(range(16))
    assert cpus_of(plan(machine, "SingleStream")) == [tuple(range(8))]
    assert cpus_of(plan(machine, "Offline", cores_per_instance=4)) == [
        (0, 1, 2, 3),
        (8, 9, 10, 11),
        (4, 5, 6, 7),
        (12, 13, 14, 15),
    ]
    assert cpus_of(plan(machine, "Offline", instances=2)) == [tuple(range(8)), tuple(range(8, 16))]
    assert cpus_of(plan(machine, "MultiStream", instances=2, cores_per_instance=1)) == [(0,), (8,)]


def test_hyper_threads_are_used_only_when_asked_for_and_a_core_is_not_shared_then(tmp_path: Path) -> None:
    machine = read(tree(tmp_path, nodes=1, cores=4), range(8))
    assert cpus_of(plan(machine, "Offline", instances=4)) == [(0,), (1,), (2,), (3,)]
    assert cpus_of(plan(machine, "Offline", instances=4, cores_per_instance=2)) == [(0, 4), (1, 5), (2, 6), (3, 7)]
    assert len(plan(machine, "Offline", instances=8)) == 8


def test_only_what_is_online_and_allowed(tmp_path: Path) -> None:
    tree(tmp_path, nodes=2, cores=4, threads=1)
    write(tmp_path, "sys/devices/system/cpu/online", "0-2,4-7")
    machine = read(tmp_path, {1, 2, 3, 6, 7, 40})
    assert [cpu.number for cpu in machine.cpus] == [1, 2, 6, 7]
    assert cpus_of(plan(machine, "Server", cores_per_instance=2)) == [(1, 2), (6, 7)]
    with pytest.raises(UsageError, match=r"of 3 cores.*2 on NUMA node 0, 2 on NUMA node 1.*--cores-per-instance"):
        plan(machine, "Server", cores_per_instance=3)


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"proc/self/cgroup": "0::/pod/me", "sys/fs/cgroup/pod/me/cpu.max": "max 100000"}, None),
        ({"proc/self/cgroup": "0::/pod/me", "sys/fs/cgroup/pod/cpu.max": "350000 100000"}, 3.5),
        ({"proc/self/cgroup": "0::/../elsewhere", "sys/fs/cgroup/cpu.max": "50000 100000"}, 0.5),
        (
            {
                "proc/self/cgroup": "4:cpu,cpuacct:/a\n0::/",
                "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us": "200000",
                "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us": "100000",
            },
            2.0,
        ),
        (
            {
                "proc/self/cgroup": "4:cpu,cpuacct:/a",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            },
            None,
        ),
        ({}, None),
    ],
    ids=["v2 all", "v2 of the parent", "v2 in a namespace", "v1", "v1 all", "no cgroups"],
)
def test_cgroups(tmp_path: Path, files: dict[str, str], quota: float | None) -> None:
    for path, text in files.items():
        write(tmp_path, path, text)
    assert read(tmp_path, range(4)).quota == quota


def test_under_a_quota_an_instance_is_pinned_to_its_node_not_to_cores(tmp_path: Path) -> None:
    write(tree(tmp_path, nodes=2, cores=8, threads=1), "proc/self/cgroup", "0::/")
    write(tmp_path, "sys/fs/cgroup/cpu.max", "650000 100000")
    places = plan(read(tmp_path, range(16)), "Offline", cores_per_instance=3)
    assert [(place.cores, place.cpus) for place in places] == [(3, tuple(range(8)))] * 2
    with pytest.raises(UsageError, match=r"a cgroup that grants 6\.5"):
        plan(read(tmp_path, range(16)), "Offline", instances=7)


def test_without_topology_there_is_one_node(tmp_path: Path) -> None:
    machine = read(tmp_path, range(3), can_pin=False)
    (place,) = plan(machine, "Server")
    assert (place.node, place.cores, place.pinned) == (0, 3, False)
    place.pin()


def test_this_machine_has_a_place_for_every_scenario() -> None:
    assert set(CORES_PER_INSTANCE) == set(SCENARIOS)
    assert all(plan(this_machine(), scenario) for scenario in SCENARIOS)


@st.composite
def machines(draw: st.DrawFn) -> Machine:
    nodes, threads = draw(st.integers(1, 4)), draw(st.integers(1, 2))
    cpus, number = [], 0
    for node in range(nodes):
        for _ in range(draw(st.integers(1, 9))):
            cpus += [Cpu(number + thread, number, node) for thread in range(threads)]
            number += threads
    kept = draw(st.sets(st.sampled_from(cpus), min_size=1))
    quota = draw(st.none() | st.floats(0.1, 40))
    return Machine(tuple(sorted(kept, key=lambda cpu: cpu.number)), quota, True)


@given(machines(), st.sampled_from(tuple(SCENARIOS)), st.none() | st.integers(1, 12), st.none() | st.integers(1, 9))
def test_no_place_spans_nodes_or_overlaps_another(
    machine: Machine, scenario: str, instances: int | None, cores: int | None
) -> None:
    try:
        places = plan(machine, scenario, instances, cores)
    except UsageError:
        assert instances or cores
        return
    node_of = {cpu.number: cpu.node for cpu in machine.cpus}
    assert all({node_of[cpu] for cpu in place.cpus} == {place.node} for place in places)
    assert all(place.cores <= len(place.cpus) for place in places)
    assert instances in (None, len(places)) and cores in (None, places[0].cores)
    assert len({place.cores for place in places}) == 1
    assert instances or scenario not in STREAMS or len(places) == 1
    granted = max(1, int(machine.quota)) if machine.quota else len(machine.cpus)
    assert sum(place.cores for place in places) <= granted
    given_out = [cpu for place in places for cpu in place.cpus]
    assert machine.quota is not None or len(given_out) == len(set(given_out))


@pytest.mark.parametrize(
    ("gpu_nodes", "instances", "expected"),  # of every instance: its node and GPU
    [
        ((1,), 1, [(1, 0)]),
        ((1, 1), 2, [(1, 0), (1, 1)]),
        ((0, 0, 1, 1), 4, [(0, 0), (1, 2), (0, 1), (1, 3)]),
        ((1, 0), 2, [(0, 1), (1, 0)]),
        ((None, None), 4, [(0, 0), (1, 1), (0, 0), (1, 1)]),
        ((1,), 12, [(node, 0) for _ in range(6) for node in (0, 1)]),  # more than node 1 has cores and threads
        ((), 2, [(0, 0), (1, 0)]),
    ],
)
def test_instances_run_next_to_their_gpus(
    tmp_path: Path, gpu_nodes: tuple[int | None, ...], instances: int, expected: list[tuple[int, int]]
) -> None:
    machine = read(tree(tmp_path, nodes=2, cores=4), range(16))
    for number, node in enumerate(gpu_nodes):
        write(tmp_path, f"sys/bus/pci/devices/0000:{number}b:00.0/numa_node", str(-1 if node is None else node))
    nodes = [pci_node(f"0000:{number}B:00.0", tmp_path) for number in range(len(gpu_nodes))]
    assert nodes == list(gpu_nodes) and pci_node("", tmp_path) is None
    places = on_gpus(plan(machine, "Offline", instances, near=nodes), nodes)
    assert [(place.node, place.gpu) for place in places] == expected
    assert len({cpu for place in places for cpu in place.cpus}) == sum(len(place.cpus) for place in places)


@pytest.mark.parametrize(("of_user", "expected"), [(None, "glibc.malloc.hugetlb=1"), ("glibc.malloc.check=3",) * 2])
def test_instances_ask_for_huge_pages_unless_the_user_tunes_the_c_library(
    monkeypatch: pytest.MonkeyPatch, of_user: str | None, expected: str
) -> None:
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    if of_user:
        monkeypatch.setenv("GLIBC_TUNABLES", of_user)
    assert environment(forked=False)["GLIBC_TUNABLES"] == expected
