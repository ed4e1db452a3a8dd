"""The generated data set in the cache is what was generated, or it is generated again."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sut.errors import UsageError
from sut.fetch.resolve import demo_dataset


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "cut": lambda path: os.truncate(path, 100),
    "edited": lambda path: path.write_text(path.read_text().replace("\t1\n", "\t0\n", 1)),
    "removed": lambda path: path.unlink(),
    "a pipe": fifo,
    "no digest": lambda path: path.with_name(f"{path.name}.sha256").unlink(),
    "a broken digest": lambda path: path.with_name(f"{path.name}.sha256").write_bytes(b"\xff"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_one_is_generated_again(tmp_path: Path, damage: str) -> None:
    path = demo_dataset(tmp_path, "train", "sst2")
    content = path.read_bytes()
    DAMAGE[damage](path)
    assert demo_dataset(tmp_path, "train", "sst2") == path
    assert path.read_bytes() == content
    written = path.stat().st_mtime_ns
    assert demo_dataset(tmp_path, "train", "sst2").stat().st_mtime_ns == written


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"expected to write the demo data set .*--cache-dir"):
        demo_dataset(tmp_path / "file", "train", "sst2")
