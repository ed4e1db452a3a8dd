"""A package of ten synthetic runs before MLPerf's package, seed and RCP checkers, as their users start them."""

from __future__ import annotations

from pathlib import Path

import pytest
import training_events as made
import training_runs

from training.package import command, official


def packaged(folder: Path, runs: list[Path]) -> int:
    words = ["--submitter", "Acme", "--system", str(training_runs.system(folder)), "--output", str(folder / "out")]
    return command.main([*map(str, runs), *words])


def test_a_closed_package_is_accepted_until_one_of_its_rules_is_broken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert packaged(tmp_path, training_runs.ten(tmp_path / "runs")) == 0
    said = capsys.readouterr().out
    assert "10 runs, 10 reached the target 0.72" in said
    assert "MLPerf's checkers: accepted\n    RCP Test Passed: RCP found\n" in said
    results = tmp_path / "out" / "results" / "box" / "bert"
    assert len(list(results.iterdir())) == 10
    (results / "result_1.txt").write_bytes((results / "result_0.txt").read_bytes())
    (results / "result_9.txt").unlink()
    checked = official.check(tmp_path / "out")
    assert not checked.accepted
    assert any("found 9, expected 10" in remark for remark in checked.remarks)
    assert any("Seed checker failed" in remark for remark in checked.remarks)


def test_an_open_package_is_accepted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert packaged(tmp_path, training_runs.ten(tmp_path / "runs", scores=(0.1, 0.35), **training_runs.OPEN)) == 0
    assert "RCP" not in capsys.readouterr().out


def test_a_target_after_too_few_samples_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As FlagPerf's row with 300,000 samples would be."""
    assert packaged(tmp_path, training_runs.ten(tmp_path / "runs", scores=(*made.SCORES[:2], 0.7325))) == 1
    said = capsys.readouterr().out
    assert "MLPerf's checkers: REFUSED" in said
    assert "RCP Test Failed: RCP found" in said
