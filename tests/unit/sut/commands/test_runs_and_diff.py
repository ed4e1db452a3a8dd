"""The list of runs in a directory, and the differences of two of them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import records
from rich.cells import cell_len

from sut.commands import diff, runs
from sut.errors import UsageError
from sut.record import run_record
from sut.record.results import AccuracyResult
from sut.record.run_record import RunRecord

ACCURACY = AccuracyResult(
    metrics={"exact_match": 80.5, "f1": 91.0}, of_answered=91.0, samples_answered=10, total_sample_count=10
)


def written(directory: Path, record: RunRecord) -> Path:
    directory.mkdir(parents=True)
    run_record.write(directory, record)
    return directory


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """Three runs, the newest first by name, one of them in a directory below, and what is no run."""
    base = records.record(first_query_unix_s=1e9)
    slow = replace(base.config, scenario="Server", threads=7, precision="int8")
    written(tmp_path / "c", base)
    written(tmp_path / "deeper" / "a", replace(base, first_query_unix_s=3e9, config=slow, random_weights=True))
    written(tmp_path / "b", replace(base, first_query_unix_s=2e9, result=ACCURACY, verdict="PASS"))
    written(tmp_path / "new", base)
    (tmp_path / "new" / "run.json").write_text('{"record_version": 99, "verdict": "VALID", "config": {}}')
    (tmp_path / "empty").mkdir()
    return tmp_path


def test_runs_are_listed_newest_first_and_what_cannot_be_read_is_said(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert runs.main([str(made), "--json"]) == 0
    found = capsys.readouterr()
    rows = json.loads(found.out)
    assert [row["directory"] for row in rows] == [str(made / one) for one in ("deeper/a", "b", "c")]
    assert [row["verdict"] for row in rows] == ["VALID", "PASS", "VALID"]
    assert rows[0]["precision"] == "int8" and rows[0]["random_weights"] and rows[1]["figures"]["f1"] == 91.0
    assert rows[0]["time"] == "2065-01-24T05:20:00+00:00"
    assert "version 99; this release reads versions up to 2" in found.err


def test_no_column_is_cut_at_80_columns(
    made: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    assert runs.main([str(made)]) == 0
    text = re.sub(r"\x1b\[\d+m", "", capsys.readouterr().out)
    for word in ("F1 91.000", "random weights", "trial run", "Server performance", "onnxruntime int8", "deeper/a"):
        assert word in text
    assert "…" not in text and max(map(cell_len, text.splitlines())) <= 80


def test_an_empty_directory_is_no_mistake_and_a_missing_one_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert runs.main([str(tmp_path)]) == 0
    assert f"no runs in {tmp_path}" in capsys.readouterr().err
    with pytest.raises(UsageError, match="expected a directory with runs"):
        runs.main([str(tmp_path / "missing")])


def test_a_difference_is_shown_with_what_it_did(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert diff.main([str(made / "c"), str(made / "deeper" / "a")]) == 0
    text = capsys.readouterr().out
    assert "config.threads: 2 → 7" in text and "random_weights: False → True" in text
    assert "same" in text and "samples/s" in text
    assert diff.main([str(made / "c"), str(made / "b"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["differences"] == [] and found["verdicts"] == {"a": "VALID", "b": "PASS"}
    assert found["figures"]["b"]["f1"] == 91.0
