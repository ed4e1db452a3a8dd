"""A log directory is taken whole, and given back without a trace where the run did not begin."""

from __future__ import annotations

from pathlib import Path

import pytest

from sut.errors import UsageError
from sut.run import log_dir


def test_what_was_made_is_removed_again(tmp_path: Path) -> None:
    log_dir.release(log_dir.claim(tmp_path / "runs" / "one", 0))
    assert list(tmp_path.iterdir()) == []


def test_what_was_there_or_holds_something_stays(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    first = log_dir.claim(tmp_path / "runs" / "one", 0)
    second = log_dir.claim(tmp_path / "runs" / "two", 0)
    (tmp_path / "runs" / "two" / "console.txt").touch()
    log_dir.release(first)
    log_dir.release(second)
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["two"]


def test_a_disk_that_is_too_small_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="MiB of disk"):
        log_dir.claim(tmp_path / "runs" / "one", 1 << 60)
    assert list(tmp_path.iterdir()) == []
