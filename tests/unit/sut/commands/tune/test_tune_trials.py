"""The time of a tuning's runs: a run is stopped when the time is over, and none is started after it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from sut.commands.tune.search import search
from sut.commands.tune.space import Candidate, Space
from sut.commands.tune.trials import TrialRow, Trials, most_s

ENGINES = tuple(
    Candidate.of({"backend": backend, "precision": precision})
    for backend, precision in (("onnxruntime", "fp32"), ("onnxruntime", "int8-dynamic"), ("onnxruntime", "int8"))
)
SPACE = Space(engines=ENGINES, levels=(), scenario="Offline", cores=2, values={}, toml={})


@dataclass
class Clocked:
    """Stands for processes and for the clock: a run takes `needed_s`, or what it may."""

    needed_s: float
    now_s: float = 100.0
    allowed: list[float] = field(default_factory=list)

    def run(self, *_: object, most_s: float) -> int:
        self.allowed.append(most_s)
        self.now_s += min(self.needed_s, most_s)
        return 3  # without a record

    def start(self, label: str) -> None: ...

    def end(self, row: TrialRow) -> None: ...


@pytest.mark.parametrize(
    ("left_s", "expected_s"), [(600.0, 200.0), (45.0, 20.0), (21.0, 20.0), (5.0, 5.0)], ids=lambda value: f"{value:g}"
)
def test_a_run_may_take_a_share_and_never_more_than_is_left(left_s: float, expected_s: float) -> None:
    assert most_s(left_s) == expected_s


@pytest.mark.parametrize(
    ("needed_s", "allowed_s"), [(6.0, [20.0, 15.0, 9.0]), (15.0, [20.0, 6.0]), (1000.0, [20.0])], ids=str
)
def test_the_runs_of_a_tuning_take_no_longer_than_it_may(
    needed_s: float, allowed_s: list[float], tmp_path: Path
) -> None:
    clocked = Clocked(needed_s)
    trials = Trials(SPACE, tmp_path, 0, 21.0, 160.0, clocked, clocked.run, lambda: clocked.now_s)
    assert search(SPACE, trials, lambda _: True) == []
    assert clocked.allowed == allowed_s
    assert clocked.now_s == 100.0 + trials.used_s <= 100.0 + 21.0
    assert len((tmp_path / "rows.jsonl").read_text("utf-8").splitlines()) == len(allowed_s)


def test_without_time_an_accuracy_run_is_not_started_and_says_why(tmp_path: Path) -> None:
    clocked = Clocked(20.0)
    trials = Trials(SPACE, tmp_path, 0, 21.0, 160.0, clocked, clocked.run, lambda: clocked.now_s)
    trials.screen(ENGINES[0])
    row = trials.accuracy(ENGINES[0], None, None)
    assert row.stopped and row.error == "no time left: type a longer --minutes"
    assert trials.used[-1] is row and len(clocked.allowed) == 1
