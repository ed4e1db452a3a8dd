"""A file that is replaced, cut, written to or removed has another stamp; a file that is only read has not."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from foundation import file_stamps


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "weights"
    path.write_bytes(b"12345678")
    os.utime(path, ns=(10**18, 10**18))
    return path


def replaced(path: Path) -> None:
    """By a file of the same size and time."""
    other = path.with_name("other")
    shutil.copy2(path, other)
    other.replace(path)


CHANGES: tuple[Callable[[Path], object], ...] = (
    replaced,
    lambda path: path.write_bytes(b"12345679"),
    lambda path: os.truncate(path, 4),
    lambda path: path.touch(),
    lambda path: path.unlink(),
)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("by_link", [False, True])
def test_a_change_is_noticed(file: Path, change: Callable[[Path], object], by_link: bool) -> None:
    path = file
    if by_link:
        path = file.with_name("link")
        path.symlink_to(file)
    stamps = file_stamps.of_all([path])
    change(file)
    assert file_stamps.changed(stamps) == (path,)


def test_what_leaves_the_content_is_no_change(file: Path, tmp_path: Path) -> None:
    stamps = file_stamps.of_all([file, tmp_path / "none"])
    file.read_bytes()
    file.chmod(0o400)
    os.link(file, tmp_path / "second name")
    assert file_stamps.changed(stamps) == ()
    (tmp_path / "none").touch()
    assert file_stamps.changed(stamps) == (tmp_path / "none",)
