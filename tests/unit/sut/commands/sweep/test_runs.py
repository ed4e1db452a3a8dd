"""Which runs of two sweeps are the same run."""

from __future__ import annotations

from sut.commands.sweep.grid import axis, points
from sut.commands.sweep.runs import order


def keys(**flags: object) -> list[str]:
    return [run.key for run in order(points([axis("instances=1 2")], flags), 2)]


def test_a_default_that_is_typed_makes_the_same_runs() -> None:
    assert keys() == keys(scenario="Offline", precision="fp32")
    assert len(set(keys())) == 4


def test_another_setting_makes_other_runs() -> None:
    assert set(keys()).isdisjoint(keys(threads=2))
