"""The fleet benchmark on instances that are times in this process."""

from __future__ import annotations

import pytest

from benchmarks import fleet


@pytest.mark.parametrize("instances", [1, 5])
def test_sleeping_instances_answer_everything(instances: int) -> None:
    found = fleet.measure("here", instances, batch_s=0.005, seconds=0.02, nodes=1)
    assert found.samples_per_s > 0 and found.cpu_us > 0
    assert found.of_ideal <= 1.0  # an instance sleeps for each batch, one after the other


def test_the_command_prints_a_row_for_each_way(capsys: pytest.CaptureFixture[str]) -> None:
    assert fleet.main(["--only", "here", "--instances", "2", "3", "--batch-ms", "2", "--seconds", "0.01"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines[1:]] == [["here", "1", "2"], ["here", "1", "3"]]
