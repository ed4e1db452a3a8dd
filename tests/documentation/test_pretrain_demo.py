"""`make pretrain-demo`: data, a training to its target, and a log that MLPerf's compliance checker accepts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from paths import ROOT

from qsl.wordpiece import WordPiece
from training.records import training_record

pytest.importorskip("torch")
pytest.importorskip("mlperf_logging")


def make(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """`make pretrain-demo` with this interpreter, and nothing written outside of `folder`."""
    given = [f"BIN={Path(sys.executable).parent}", f"PASSAGES={folder / 'data'}"]
    return subprocess.run(
        ["make", "--old-file", ".venv/.dev", "pretrain-demo", *given, f"ARGS={' '.join(words)}"],
        cwd=ROOT, capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip


@pytest.mark.timeout(600)
def test_it_reaches_its_target_and_its_log_is_accepted(tmp_path: Path) -> None:
    run = tmp_path / "run"
    done = make(tmp_path, "--output", str(run))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "target reached" in done.stdout
    record = training_record.read(run)
    assert record.status == "reached"
    assert record.evaluations[-1].score >= 0.30
    assert record.evaluations[-1].samples <= 20_000  # by then BERT's own weights have 0.19
    assert (run / "training.png").stat().st_size > 0
    vocabulary = WordPiece(run / "model" / "vocab.txt")
    assert json.loads((run / "model" / "config.json").read_text())["vocab_size"] == len(vocabulary)
    assert _compliance(run / "mllog.txt") == "SUCCESS"


def _compliance(log: Path) -> str:
    command = [sys.executable, "-m", "mlperf_logging.compliance_checker", "--ruleset", "5.0.0", "--werror", str(log)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=log.parent, check=False)
    return "SUCCESS" if done.returncode == 0 and "SUCCESS" in done.stdout + done.stderr else done.stdout + done.stderr
