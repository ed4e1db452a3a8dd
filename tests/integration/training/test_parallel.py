"""Two processes train what one does: DDP and FSDP2, in any number of micro-batches, to the same weights."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import toy_ranks
from paths import ROOT

Results = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ranks")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def one(folder: Path) -> dict[str, Any]:
    """What one process gets; its checkpoint is what "fsdp of one" goes on from."""
    return toy_ranks.run("fsdp", folder / "whole")


@pytest.fixture(scope="module")
def two(folder: Path, one: dict[str, Any]) -> Results:
    script = Path(toy_ranks.__file__)
    words = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script), str(folder)]
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{script.parent}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, *words], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: Results = torch.load(folder / "results.pt", weights_only=False)
    return found


def assert_same_training(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found["samples"] == expected["samples"]
    assert found["losses"] == pytest.approx(expected["losses"], rel=1e-5)
    for name, weight in expected["weights"].items():
        torch.testing.assert_close(found["weights"][name], weight, rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.parametrize("way", ["ddp", "ddp, more micro-batches", "fsdp", "fsdp, more micro-batches"])
def test_two_processes_train_what_one_does(two: Results, one: dict[str, Any], way: str) -> None:
    assert_same_training(two[way], one)
    assert [found["accuracy"] for found in two[way]["evaluations"]] == [
        found["accuracy"] for found in one["evaluations"]
    ]
    assert two[way]["evaluations"][0] == one["evaluations"][0]  # of equal weights: equal to the last bit


def test_gradients_are_clipped_on_each_rank_where_asked(two: Results, tmp_path: Path) -> None:
    assert_same_training(two["added up by hand"], toy_ranks.run("added up by hand", tmp_path))
    assert max(two["ddp"]["norms"]) > 1
    assert max(two["clipped before"]["norms"]) < 0.5  # half of it is each rank's share


def test_a_rank_without_samples_changes_nothing(two: Results, tmp_path: Path) -> None:
    assert_same_training(two["one sample"], toy_ranks.run("ddp", tmp_path, batch=1))


@pytest.mark.parametrize("way", ["ddp", "fsdp"])
def test_checkpoints_of_two_ranks_are_for_one(two: Results, folder: Path, tmp_path: Path, way: str) -> None:
    expected = toy_ranks.run("ddp", tmp_path, max_steps=8)
    found = toy_ranks.run(way, folder, max_steps=8)
    assert found["resumed"] == [6]
    assert_same_training({**found, "samples": expected["samples"], "losses": expected["losses"]}, expected)
    assert found["losses"] == pytest.approx(expected["losses"][6:], rel=1e-5)


def test_a_checkpoint_of_one_rank_is_for_two(two: Results, tmp_path: Path) -> None:
    expected = toy_ranks.run("ddp", tmp_path, max_steps=8)
    assert two["fsdp of one"]["resumed"] == [6]
    assert two["fsdp of one"]["losses"] == pytest.approx(expected["losses"][6:], rel=1e-5)
    for name, weight in expected["weights"].items():
        torch.testing.assert_close(two["fsdp of one"]["weights"][name], weight, rtol=1e-4, atol=1e-6, msg=name)
