"""The rates of training, at the smallest sizes."""

from __future__ import annotations

import pytest

from benchmarks import training_rates
from benchmarks.training_rates import Rate


def test_hours_follow_from_the_rate() -> None:
    rate = Rate(training="a", samples=6400, steps=200, seconds=16.0, flop=8e15, memory_bytes=2**31, epochs=3)
    assert training_rates.grid([rate], "H").rows == [("a", "400", "80", "500", "2", "0.1833 (3 epochs)")]


def test_each_training_runs(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--device=cpu", "--threads=1", "--large=l1-h16-a4", "--small=l1-h8-a2", "--steps=1", "--markdown"]
    assert training_rates.main([*words, "--only", "finetune", "int8"]) == 0
    table = capsys.readouterr().out
    assert "| prune l1-h16-a4, steps in int8 | " in table and table.count("epochs)") == 2
