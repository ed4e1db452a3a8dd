"""A run of a submission on one line."""

from __future__ import annotations

from dataclasses import replace

import pytest
import records

from foundation import live_line
from submission.submit import shown_run
from submission.submit.shown_run import ShownRun
from sut.record.results import AccuracyResult
from sut.record.run_record import RunRecord

LABEL = "[2/6] Offline accuracy"
SCORED = AccuracyResult(
    metrics={"exact_match": 2.0, "f1": 2.5}, of_answered=99.1389, samples_answered=24, total_sample_count=10_833
)
SPEED = records.record()
ROWS: dict[str, tuple[RunRecord, str]] = {
    "performance": (SPEED, f"{LABEL}  VALID        1:07  351.2 samples/s"),
    "part": (replace(SPEED, verdict="INCOMPLETE", result=SCORED),
             f"{LABEL}  INCOMPLETE   1:07  F1 99.139 over 24 of 10,833 samples"),
    "whole": (replace(SPEED, verdict="PASS", result=SCORED), f"{LABEL}  PASS         1:07  F1 2.500"),
    "none": (replace(SPEED, verdict="INVALID", result=None), f"{LABEL}  INVALID      1:07  no figure"),
}  # fmt: skip


@pytest.mark.parametrize("kind", ROWS)
def test_a_result_is_a_row(kind: str) -> None:
    record, shown = ROWS[kind]
    assert shown_run.row(LABEL, record, 67.4) == shown


def test_a_figure_comes_with_what_it_is_not_to_be_read_without() -> None:
    busy = replace(SPEED, verdict="INVALID", reasons=("too slow",), warnings=("busy",))
    assert list(shown_run.remarks(busy)) == ["why: too slow", "warning: busy"]
    assert list(shown_run.remarks(replace(SPEED, reasons=("not asked",)))) == []


def test_the_states_of_a_run_are_shown_behind_its_label(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(live_line.WIDTH, "60")
    monkeypatch.setattr(live_line, "_LIVE_S", 0.0)
    shown = ShownRun(LABEL, expected_s=15.0, after_s=90.0)
    for text in ("loading\r", "a line of its own\n", "   \r", "12 samples\r"):
        shown.update(text)
    shown.end()
    assert shown.columns == 60 - len(f"{LABEL}: ")
    states = [text.strip() for text in capsys.readouterr().err.split("\r")]
    assert states == [
        f"{LABEL}: about 0:15, then 1:30 of runs remain",
        f"{LABEL}: loading",
        f"{LABEL}: 12 samples",
        "",
        "",
    ]
