"""A dry run checks what a run checks, says what it would do, and leaves no logs and no engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from sut.__main__ import main


def test_what_would_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["--dry-run", "--precision", "int8", "--cache-dir", "cache", "--instances", "1", "--log-dir", "logs"]
    assert main(words) == 0
    rows = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert rows["run"].rstrip() == "Offline performance: squad, demo on onnxruntime int8"
    assert rows["engine"].rstrip() == "is built first, which takes minutes"
    assert rows["instances"].startswith("1 × ") and rows["logs"].rstrip() == "logs"
    assert "--precision int8" in rows["command"] and "trial run" in rows["note"]
    assert not (tmp_path / "logs").exists() and not list(tmp_path.rglob("engine.json"))


def test_a_mistake_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["--dry-run", "--cache-dir", "cache", "--model", "missing.onnx"]) == 2
    assert main(["--dry-run", "--json"]) == 2
