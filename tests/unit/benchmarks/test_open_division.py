"""The benchmark of the open division: its turns and its table; no engine runs."""

from __future__ import annotations

from pathlib import Path

from benchmarks import open_division
from sut.commands.compare.ladder import LadderRow
from sut.commands.compare.published import RUNGS


def _row(name: str, samples_per_s: float) -> LadderRow:
    return LadderRow(
        rung=RUNGS[name], samples_per_s=samples_per_s, latency_ms=5, mflop_per_sample=100, what="x", remarks=()
    )


def test_goals_are_of_rungs_and_a_turn_has_samples_by_them(tmp_path: Path) -> None:
    assert set(open_division.GOALS) == set(RUNGS) - {open_division.BASE}
    found = open_division.turns(["minilm-l12"], 10, tmp_path)
    assert [(one.rung.name, one.data.samples) for one in found] == [("bert-large", 10), ("minilm-l12", 100)]


def test_the_table_relates_to_dense_bert_large() -> None:
    rows = [_row("bert-large", 10), _row("minilm-l12", 110), _row("mobilebert", 80)]
    assert [(row[2], row[-1]) for row in open_division.grid(rows).rows] == [
        ("1", ""), ("11", "10 / 12: floor"), ("8", "9 / 11: missed")
    ]  # fmt: skip
