"""The search of a tuning on a table of speeds: what it finds, what it measures, and what it does when time is short."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest

from sut.commands.sweep.grid import Value
from sut.commands.tune.search import MOST_TURNS, TURNS, search
from sut.commands.tune.space import Candidate, Level, Space

TRIAL_S, START_S = 1.5, 4.0
ENGINES = {
    "onnxruntime fp32": 100.0,
    "pytorch fp32": 350.0,
    "pytorch int8": 760.0,
    "openvino int8": 500.0,
    "onnxruntime int8": 900.0,
}
WRONG = ("onnxruntime", "int8")  # fast, and not accurate
CORES: dict[tuple[Value, Value], float] = {(1, 2): 1.0, (2, 1): 1.3}
BATCHES: dict[Value, float] = {1536: 1.0, 768: 0.8, 3072: 1.1}


def candidate(engine: str, **settings: Value) -> Candidate:
    backend, precision = engine.split()
    return Candidate.of({"backend": backend, "precision": precision, **settings})


SPACE = Space(
    engines=tuple(map(candidate, ENGINES)),
    levels=(
        Level("cores", lambda _, __: [{"instances": a, "cores_per_instance": b} for a, b in CORES]),
        Level("batches", lambda _, __: [{"max_batch_tokens": tokens} for tokens in BATCHES]),
    ),
    scenario="Offline",
    cores=2,
    values={},
    toml={},
)


@dataclass
class TableBench:
    """A speed for each candidate, from the tables above; each trial takes its time of a budget."""

    budget_s: float = 300.0
    failing: tuple[str, ...] = ()
    used_s: float = 0.0
    trials: list[tuple[Candidate, int, int]] = field(default_factory=list)
    scored: list[str] = field(default_factory=list)

    def chosen(self, one: Candidate) -> Mapping[str, Value]:
        return {"instances": 1, "cores_per_instance": 2, "max_batch_tokens": 1536} | one.settings

    def speed(self, one: Candidate) -> float:
        chosen = self.chosen(one)
        cores = CORES[chosen["instances"], chosen["cores_per_instance"]]
        return ENGINES[" ".join(map(str, one.engine))] * cores * BATCHES[chosen["max_batch_tokens"]]

    def screen(self, one: Candidate) -> float | None:
        return self.trial(one, 0)

    def trial(self, one: Candidate, rung: int, turn: int = 1) -> float | None:
        if (one, rung, turn) not in self.trials:
            self.trials.append((one, rung, turn))
            self.used_s += START_S + TRIAL_S * float(3**rung)
        return None if " ".join(map(str, one.engine)) in self.failing else self.speed(one)

    def is_accurate(self, one: Candidate) -> bool:
        self.scored.append(" ".join(map(str, one.engine)))
        return one.engine != WRONG

    def time_left(self) -> float:
        return max(0.0, 1 - self.used_s / self.budget_s)

    def share_of(self, rung: int) -> float:
        return (START_S + TRIAL_S * float(3**rung)) / self.budget_s

    def search(self) -> list[Candidate]:
        return search(SPACE, self, self.is_accurate)


BEST = candidate("pytorch int8", instances=2, cores_per_instance=1, max_batch_tokens=3072)


def test_the_best_of_the_whole_grid_is_found_with_fewer_trials_than_points() -> None:
    bench = TableBench()
    assert bench.search()[0] == BEST
    assert bench.used_s <= bench.budget_s
    assert len({one for one, _, _ in bench.trials}) < len(ENGINES) * len(CORES) * len(BATCHES) / 2


def test_accuracy_is_measured_once_from_the_fastest_on_and_only_of_engines_that_may_win() -> None:
    bench = TableBench()
    bench.search()
    assert bench.scored == ["onnxruntime int8", "pytorch int8", "openvino int8"]
    assert not any(one.engine == WRONG for one, rung, _ in bench.trials if rung)


def test_the_last_two_take_turns_in_longer_trials() -> None:
    bench = TableBench()
    bench.search()
    longest = max(rung for _, rung, _ in bench.trials)
    last = [(one, turn) for one, rung, turn in bench.trials if rung == longest]
    assert longest >= 1 and len({one for one, _ in last}) == 2
    assert {turn for _, turn in last} == set(range(1, TURNS + 1))


def test_two_that_are_close_take_more_turns_while_there_is_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BATCHES, 768, 1.08)  # next to the best, 1.1
    turns = {}
    for budget_s in (300.0, 3000.0):
        bench = TableBench(budget_s=budget_s)
        assert bench.search()[0] == BEST and bench.used_s <= budget_s
        turns[budget_s] = max(turn for _, _, turn in bench.trials)
    assert TURNS < turns[300.0] <= turns[3000.0] == MOST_TURNS


@pytest.mark.parametrize("budget_s", [30.0, 60.0, 90.0, 120.0, 200.0])
def test_a_short_budget_is_kept_after_the_first_round_and_still_has_a_winner(budget_s: float) -> None:
    bench = TableBench(budget_s=budget_s)
    found = bench.search()
    first_round_s = len(ENGINES) * (START_S + TRIAL_S)
    assert found and found[0].engine == BEST.engine
    assert bench.used_s <= max(budget_s, first_round_s) + 1e-9


@pytest.mark.parametrize("budget_s", [1.0, 6.0, 11.0, 24.0])
def test_without_time_for_a_round_the_first_trials_decide(budget_s: float) -> None:
    for space in (SPACE, replace(SPACE, engines=SPACE.engines[:1])):  # one engine: its second trial is the last
        bench = TableBench(budget_s=budget_s)
        assert search(space, bench, bench.is_accurate)
        assert bench.used_s <= budget_s + START_S + TRIAL_S


def test_an_engine_that_fails_costs_one_trial() -> None:
    bench = TableBench(failing=("pytorch int8",))
    assert bench.search()[0].engine == ("openvino", "int8")
    assert [one.engine for one, _, _ in bench.trials].count(("pytorch", "int8")) == 1


def test_nothing_is_found_where_nothing_runs_or_nothing_is_accurate() -> None:
    assert TableBench(failing=tuple(ENGINES)).search() == []
    assert search(SPACE, TableBench(), lambda _: False) == []


def test_a_search_that_is_repeated_takes_the_same_way() -> None:
    first, second = TableBench(), TableBench()
    assert first.search() == second.search() and first.trials == second.trials
