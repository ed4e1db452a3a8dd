"""docs/guide/report.md: `report --measure-limit` on a run of the demo, and the page after it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from paths import ROOT

pytest.importorskip("torch")


def sut(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """`python -m sut` with these words; its caches are in `folder`."""
    command = [sys.executable, "-m", "sut", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.mark.timeout(600)
def test_the_limit_of_this_machine_is_measured_once_and_kept(tmp_path: Path) -> None:
    run, again = str(tmp_path / "run"), ("--format", "json")
    flags = ("--backend", "pytorch", "--test-query-count", "200", "--cache-dir", str(tmp_path / "cache"))
    sut(tmp_path, *flags, "--log-dir", run)
    assert "Type: python -m sut report" in sut(tmp_path, "report", run, "--format", "md").stdout
    measured = sut(tmp_path, "report", run, "--measure-limit", *again)
    assert "measuring this machine's limit for fp32" in measured.stderr
    (kept,) = (json.loads(path.read_text()) for path in (tmp_path / "cache" / "limits").iterdir())
    (found,) = json.loads(measured.stdout)["runs"]
    assert found["limit"] == kept and json.loads(sut(tmp_path, "report", run, *again).stdout)["runs"] == [found]
    assert (kept["precision"], kept["hidden_size"], kept["intermediate_size"]) == ("fp32", 128, 512)
    assert kept["gops"] == max(kept["ways"].values()) > 0 and kept["read_gb_s"] > 0
    page = sut(tmp_path, "report", run, "--format", "md").stdout
    assert "| Share of the limit |" in page and "Type: python -m sut report" not in page
