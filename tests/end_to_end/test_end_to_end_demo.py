"""The embedded model has learned to read: right on its own data, wrong if questions are put to other passages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from command import Run
from paths import ROOT

from sut.commands import report
from sut.record import run_record
from sut.reporting import answers

DEMO = ROOT / "assets" / "demo"


def test_it_reaches_its_target_on_its_own_data(run: Run, tmp_path: Path) -> None:
    flags = ("--mode", "accuracy", "--log-dir", "logs", "--cache-dir", tmp_path / "cache")
    ended = run(*flags, with_case=False)
    assert ended.code == 0
    record = ended.record()
    assert record["verdict"] == "PASS"
    assert record["result"]["f1"] >= 90
    assert_all_answered(record, 1200)
    assert_its_report_agrees(ended.folder / "logs", record)


def assert_its_report_agrees(logs: Path, record: dict[str, Any]) -> None:
    """The answers read again give the run's F1; the timeline has every sample; the page can be made."""
    found = answers.read(logs, run_record.read(logs)).questions
    assert 100 * sum(one.score for one in found) / len(found) == pytest.approx(record["result"]["f1"])
    timeline, interval = record["timeline"], record["accuracy_interval"]
    assert (
        sum(timeline["issued"]) == sum(timeline["answered"]) == sum(timeline["latency"]["counts"]) == record["samples"]
    )
    assert interval[0] < record["result"]["f1"] < interval[1]
    assert report.main([str(logs), "--output", str(logs / "page.html")]) == 0
    assert f"{record['result']['f1']:.3f} %" in (logs / "page.html").read_text(encoding="utf-8")


def test_it_fails_when_every_question_is_put_to_another_passage(run: Run, tmp_path: Path) -> None:
    dataset = tmp_path / "displaced.json"
    assert run("dev", dataset, "--displaced", "--questions", 300, module="qsl.demo").code == 0
    record = run("--mode", "accuracy", "--dataset", dataset, "--vocab", DEMO / "vocab.txt").record()
    assert record["result"]["f1"] < 30
    assert_all_answered(record, 300)


def assert_all_answered(record: dict[str, Any], least: int) -> None:
    assert record["result"]["samples_answered"] == record["samples"] >= least


def test_weights_and_vocabulary_are_small() -> None:
    sizes = {path.name: path.stat().st_size for path in DEMO.iterdir()}
    assert set(sizes) == {"model.safetensors", "config.json", "vocab.txt"}
    assert sum(sizes.values()) <= 12e6
