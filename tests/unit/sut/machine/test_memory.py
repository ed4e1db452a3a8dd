"""Memory needed and available: the minimum of the kernel's and the cgroups' values, and an error that names both."""

from __future__ import annotations

from pathlib import Path

import pytest

from backends.bert.checkpoints import find_model
from sut.errors import UsageError
from sut.machine import memory
from sut.machine.topology import Place

LARGE = find_model("random:bert-large")


def write(root: Path, files: dict[str, str]) -> Path:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text + "\n", encoding="ascii")
    return root


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({}, None),
        ({"proc/meminfo": "MemTotal: 9000 kB\nMemAvailable:    2000 kB"}, 2_048_000),
        (
            {
                "proc/meminfo": "MemAvailable: 2000 kB",
                "proc/self/cgroup": "0::/a/b",
                "sys/fs/cgroup/a/memory.max": "1000000",
                "sys/fs/cgroup/a/b/memory.max": "max",
            },
            1_000_000,
        ),
        (
            {
                "proc/meminfo": "MemAvailable: 2000 kB",
                "proc/self/cgroup": "4:memory:/a",
                "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "1500000",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
            },
            1_500_000,
        ),
    ],
    ids=("nothing said", "the kernel", "cgroup v2, inherited", "cgroup v1"),
)
def test_what_is_available(tmp_path: Path, files: dict[str, str], found: int | None) -> None:
    assert memory.available(write(tmp_path, files)) == found


def places(count: int, nodes: int = 2) -> list[Place]:
    return [Place(number % nodes, 1, (number,), True) for number in range(count)]


def test_weights_are_counted_once_a_node_where_they_are_shared() -> None:
    shared, own = (memory.need(LARGE, places(8), 1536, forked=forked) for forked in (True, False))
    assert shared and own
    assert (shared.copies, own.copies) == (2, 8)
    assert own.total - shared.total == 6 * own.weights
    assert own.weights == pytest.approx(334e6 * 4, rel=0.01)  # BERT-Large, in float32


def test_many_instances_of_a_large_model_are_refused_with_what_to_lower() -> None:
    expected = memory.need(LARGE, places(500), 1536, forked=False)
    with pytest.raises(UsageError, match=r"weights × 500 copies.*found 16\.00 GiB.*Lower --instances"):
        memory.check(expected, 16 << 30)
    memory.check(expected, 10**13)


def test_a_large_batch_is_refused_with_what_to_lower() -> None:
    expected = memory.need(LARGE, places(1), 10_000 * 384, forked=True)
    with pytest.raises(UsageError, match=r"largest batch × 1 instance;.*Lower --batch-size"):
        memory.check(expected, 16 << 30)


def test_what_is_not_known_refuses_nothing() -> None:
    memory.check(None, 1)
    memory.check(memory.need(LARGE, places(1), 10**5, forked=True), None)
