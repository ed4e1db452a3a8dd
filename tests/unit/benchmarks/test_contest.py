"""Who takes a turn when, what becomes of the readings, and what is said of a ratio."""

from __future__ import annotations

import signal
import time

import pytest

from benchmarks.interleave import (
    Contestant,
    Goal,
    Reading,
    Results,
    Spread,
    best,
    ratio,
    run_turns,
    spread,
    summary,
    turn_order,
)


def contestant(key: str, values: list[float], precision: str = "fp32") -> Contestant:
    left = iter(values)

    def turn() -> Reading:
        try:
            return {"samples_per_s": next(left)}
        except StopIteration as error:
            raise RuntimeError("has nothing more to give") from error

    return Contestant(key, "", precision, turn)


def silent(*_: object) -> None:
    pass


def test_rounds_alternate_their_order() -> None:
    everyone = [contestant(key, []) for key in "abc"]
    assert [(number, one.key) for number, one in turn_order(everyone, 3)] == [
        (0, "a"), (0, "b"), (0, "c"), (1, "c"), (1, "b"), (1, "a"), (2, "a"), (2, "b"), (2, "c"),
    ]  # fmt: skip


def test_readings_are_kept_by_round_and_a_failure_leaves_an_error_and_no_figure() -> None:
    told: list[tuple[int, str]] = []

    def tell(number: int, one: Contestant, _: object) -> None:
        told.append((number, one.key))

    results = run_turns(
        [contestant("good", [3, 1, 2]), contestant("breaks", [5])],
        3,
        lambda number, one, _: told.append((number, one.key)),
    )
    assert results.readings == {"good": [{"samples_per_s": 3}, {"samples_per_s": 1}, {"samples_per_s": 2}]}
    assert results.missing == {"breaks": "has nothing more to give"}
    assert told == [(0, "good"), (0, "breaks"), (1, "breaks"), (1, "good"), (2, "good")]


def test_a_turn_that_takes_long_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    def turn() -> Reading:
        time.sleep(1.3)
        return {"samples_per_s": 1}

    run_turns([Contestant("slow", "", "fp32", turn), contestant("fast", [1])], 1, silent)
    assert capsys.readouterr().err.splitlines() == ["round 1  slow"]


@pytest.mark.parametrize(
    "error", [RuntimeError("no GPU"), KeyError("gops"), FileNotFoundError("x"), ValueError("JSON")]
)
def test_any_error_of_one_contestant_is_its_own(error: Exception) -> None:
    def turn() -> Reading:
        raise error

    results = run_turns([Contestant("breaks", "", "fp32", turn), contestant("good", [1])], 1, silent)
    assert results.readings == {"good": [{"samples_per_s": 1}]}
    assert str(error) in results.missing["breaks"]


def test_sigterm_keeps_what_was_measured() -> None:
    def turn() -> Reading:
        signal.raise_signal(signal.SIGTERM)
        raise AssertionError("went on")

    before = signal.getsignal(signal.SIGTERM)
    seen = Results()
    results = run_turns([contestant("good", [1]), Contestant("killed", "", "fp32", turn)], 1, silent, seen)
    assert results is seen and results.readings == {"good": [{"samples_per_s": 1}]} and not results.missing
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_ratio_is_of_medians_and_spreads_over_rounds() -> None:
    results = run_turns([contestant("a", [10, 12, 20]), contestant("b", [5, 4, 5])], 3, silent)
    assert spread(results, "a", "samples_per_s") == Spread(12, 10, 20)
    sides = ("a", "samples_per_s", 2.0), ("b", "samples_per_s", 1.0)
    assert ratio(results, *sides) == Spread(2 * 12 / 5, 4.0, 8.0)
    assert ratio(results, ("absent", "samples_per_s", 1.0), sides[1]) is None
    assert ratio(results, ("a", "p90_ms", 1.0), sides[1]) is None


def test_the_best_has_the_highest_median() -> None:
    results = run_turns([contestant("steady", [3, 3, 3]), contestant("lucky", [1, 1, 9])], 3, silent)
    assert best(results, ["steady", "lucky", "absent"], "samples_per_s") == "steady"
    assert best(results, ["absent"], "samples_per_s") is None


@pytest.mark.parametrize(
    ("value", "lower_is_better", "verdict"),
    [(0.69, False, "missed"), (0.7, False, "floor"), (0.8, False, "aim"),
     (0.85, True, "missed"), (0.8, True, "floor"), (0.65, True, "aim")],
)  # fmt: skip
def test_verdicts(value: float, lower_is_better: bool, verdict: str) -> None:
    bounds = (0.8, 0.65) if lower_is_better else (0.7, 0.8)
    assert Goal("", *bounds, lower_is_better=lower_is_better).verdict(value) == verdict


def test_the_summary_has_three_numbers_or_the_reason() -> None:
    results = run_turns([contestant("a", [2, 1, 3]), contestant("b", [])], 3, silent)
    assert summary(results) == {"b": "has nothing more to give", "a": {"samples_per_s": [2, 1, 3]}}
