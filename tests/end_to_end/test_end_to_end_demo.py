"""The embedded model has learned to read: right on its own data, wrong if questions are put to other passages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from command import Run
from paths import ROOT

DEMO = ROOT / "assets" / "demo"


def test_it_reaches_its_target_on_its_own_data(run: Run, tmp_path: Path) -> None:
    flags = ("--mode", "accuracy", "--log-dir", "logs", "--cache-dir", tmp_path / "cache")
    ended = run(*flags, with_case=False)
    assert ended.code == 0
    record = ended.record()
    assert record["verdict"] == "PASS"
    assert record["result"]["f1"] >= 90
    assert_all_answered(record, 1200)


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
