"""The fleet benchmark on instances that are processes, here and on nodes over TCP."""

from __future__ import annotations

import pytest

from benchmarks import fleet


@pytest.mark.parametrize(("way", "nodes"), [("processes", 1), ("remote", 2)])
def test_sleeping_processes_answer_everything(way: str, nodes: int) -> None:
    found = fleet.measure(way, 2, batch_s=0.005, seconds=0.02, nodes=nodes)
    assert 0 < found.of_ideal <= 1.0 and found.added_ms > 0
