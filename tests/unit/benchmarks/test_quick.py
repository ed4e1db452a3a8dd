"""The quick benchmark's table, and how it divides its time; no engine runs."""

from __future__ import annotations

import time

import pytest

from benchmarks import quick
from benchmarks.quick import Clock, Row

ROWS = [
    Row("pytorch", "int8", demo=1115.4, f1=99.139, large=9.321),
    Row("acme", "int4", demo=12.0, f1="took longer than 20 s"),
]


def test_the_table_has_figures_and_the_lines_below_it_why_there_is_none() -> None:
    assert [row[2:] for row in quick.grid(ROWS).rows] == [("1,115", "99.14", "9.321"), ("12", "–", "–")]
    assert quick.skipped(ROWS) == [
        "acme int4, the demo's F1: took longer than 20 s",
        "acme int4, BERT-Large: no time was left. Type a longer --minutes",
    ]


def test_a_measurement_gets_a_few_shares_of_the_time_and_all_that_is_left_at_the_end() -> None:
    clock = Clock(minutes=1, measurements=8)
    given = [clock.measure("one", lambda most_s: most_s) for _ in range(8)]
    assert given[0] == pytest.approx(60 * quick._SHARES / 8, abs=1)
    assert given[-1] == pytest.approx(60, abs=1)
    assert Clock(minutes=0.01, measurements=8).measure("none", lambda most_s: most_s) == quick._NO_TIME


def test_what_a_measurement_raises_is_its_reason() -> None:
    def fails(most_s: float) -> float:
        raise RuntimeError("FAILED: it broke")

    assert Clock(minutes=1, measurements=1).measure("one", fails) == "FAILED: it broke"


def test_the_time_of_a_free_measurement_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def slow(most_s: float) -> float:
        now[0] += 100
        return most_s

    clock = Clock(minutes=1, measurements=2)
    assert clock.measure("free", slow, free=True) == quick._FASTEST_S
    assert clock.measure("one", slow) == 60
    assert clock.measure("two", slow) == quick._NO_TIME
