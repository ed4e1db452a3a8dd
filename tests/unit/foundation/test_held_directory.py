"""A directory for the block alone; those of killed processes go with the next one, and no others."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from foundation import held_directory


def test_a_temporary_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left, others = (tmp_path / f"mlperf-bert-sut-{name}-0123.part" for name in ("check", "other"))
    for folder in (left, others):
        (folder / "inner").mkdir(parents=True)
    with held_directory.temporary("check") as first:
        (first / "file").touch()
        assert first.stat().st_mode & 0o777 == 0o700 and not left.exists()
        with held_directory.temporary("check") as second:
            assert first.is_dir() and second.is_dir() and first != second
    assert list(tmp_path.iterdir()) == [others]


def test_an_error_in_the_block_removes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(KeyboardInterrupt), held_directory.temporary("check"):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
