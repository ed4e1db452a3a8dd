"""A log directory is held by one run from its first moment, and given back without a trace if that did not begin."""

from __future__ import annotations

from pathlib import Path

import pytest

from foundation import log_files
from sut.errors import UsageError
from sut.running import log_dir


def test_what_was_made_is_removed_again(tmp_path: Path) -> None:
    with log_dir.claimed(tmp_path / "runs" / "one"):
        assert (tmp_path / "runs" / "one").is_dir()
    assert list(tmp_path.iterdir()) == []


def test_what_was_there_or_holds_something_stays(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    with log_dir.claimed(tmp_path / "runs" / "one"), log_dir.claimed(tmp_path / "runs" / "two"):
        (tmp_path / "runs" / "two" / "console.txt").touch()
    assert {path.name for path in tmp_path.rglob("*")} == {"runs", "two", "console.txt"}


def test_another_run_is_refused_while_it_is_held(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    with log_dir.claimed(folder):
        with pytest.raises(UsageError, match=r"another run uses it\. .* --log-dir"), log_dir.claimed(folder):
            pytest.fail("two runs in one directory")
        (folder / log_files.RUN).touch()
    with pytest.raises(UsageError, match=r"found run\.json in"), log_dir.claimed(folder):
        pytest.fail("a run was overwritten")


@pytest.mark.parametrize("name", ["file/logs", "/proc/logs", "x" * 300, "a\0b", "\udcff"])
def test_a_name_that_no_log_directory_can_have_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    expected = "a log directory in UTF-8, found" if name == "\udcff" else "expected to write to"
    with pytest.raises(UsageError, match=rf"{expected} .*--log-dir"), log_dir.claimed(tmp_path / name):
        pytest.fail("claimed")


def test_a_disk_that_is_too_small(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="MiB of disk"):
        log_dir.check_space(tmp_path, 1 << 60)
