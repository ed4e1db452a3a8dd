"""Two processes, as torchrun starts them, train a student and a pruned model to the weights of one process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
import trained_commands
from paths import ROOT
from torch import Tensor

from training import distill, prune
from training.network import model_files
from training.records import training_record
from training.records.training_record import TrainingRecord

Main = Callable[[list[str]], int]


@pytest.mark.parametrize(("name", "main"), [("distill", distill.main), ("prune", prune.main)], ids=["distill", "prune"])
def test_two_processes_train_what_one_does(tmp_path: Path, name: str, main: Main) -> None:
    files, alone, two = trained_commands.prepare(tmp_path), tmp_path / "alone", tmp_path / "two"
    assert main(trained_commands.arguments(name, files, alone)) == 0
    said = by_two(name, trained_commands.arguments(name, files, two, "--device=cpu"))
    assert said.count("kept: F1") == 1  # one process speaks
    assert "hardware: 2 × " in (two / "README.md").read_text(encoding="utf-8")
    one, both = (training_record.read(folder / "run") for folder in (alone, two))
    assert (one.devices, both.devices) == (1, 2)
    in_float = 3  # steps; in int8, a number that is rounded the other way shows
    assert trained_commands.losses(two)[:in_float] == pytest.approx(trained_commands.losses(alone)[:in_float], rel=1e-5)
    assert trained_commands.losses(two) == pytest.approx(trained_commands.losses(alone), rel=1e-2)
    assert scores(both) == scores(one)
    expected, found = (encoder(model_files.read_weights(one)) for one in (alone, two))
    assert torch.equal(expected == 0, found == 0)
    assert (found - expected).abs().mean() < 2e-5  # steps move a weight by 1e-3


def by_two(name: str, arguments: list[str]) -> str:
    words = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", f"training.{name}", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, *words], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def encoder(weights: Mapping[str, Tensor]) -> Tensor:
    """All weights of the products, end to end."""
    return torch.cat([one.flatten() for name, one in weights.items() if name.endswith(".dense.weight")])


def scores(record: TrainingRecord) -> list[float]:
    return [one.values["f1"] for one in record.evaluations]
