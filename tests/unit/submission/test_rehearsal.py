"""The answers of a run that cannot be saved: one message, no traceback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import records
from paths import ROOT

from qsl import demo
from submission.submit import rehearsal


@pytest.fixture
def log_dir(tmp_path: Path) -> Path:
    """An accuracy run of two questions, without its log."""
    demo.write(tmp_path / "dev.json", "dev", questions=2)
    content = records.first_edition()
    vocab = ROOT / "assets" / "demo" / "vocab.txt"
    content["config"] |= {"dataset": str(tmp_path / "dev.json"), "vocab": str(vocab), "cache_dir": str(tmp_path)}
    (tmp_path / "run.json").write_text(json.dumps(content), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("data", ["00", "00" * 12])
def test_answers_that_are_not_pairs_of_numbers(log_dir: Path, capsys: pytest.CaptureFixture[str], data: str) -> None:
    log = json.dumps([{"seq_id": 0, "qsl_idx": 0, "data": data}])
    (log_dir / "mlperf_log_accuracy.json").write_text(log, encoding="utf-8")
    assert rehearsal.main([str(log_dir), str(log_dir / "answers.npz")]) == 2
    assert capsys.readouterr().err.startswith(f"error: expected the answers of an accuracy run in {log_dir}")
    assert not list(log_dir.glob("*answers*"))


def test_a_directory_without_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert rehearsal.main([str(tmp_path), str(tmp_path / "answers.npz")]) == 2
    assert capsys.readouterr().err.startswith("error: expected the record of a run in")
