"""Any change of a sealed directory's files is noticed; a directory that did not change is hashed once."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foundation import sealed_directory

NOTE = ".verified.json"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    found = tmp_path / "engine"
    found.mkdir()
    (found / "engine.json").write_text("{}")
    (found / "weights").write_bytes(bytes(range(256)))
    (found / "cache").mkdir()
    sealed_directory.seal(found)
    return found


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """All files that are hashed."""
    found: list[object] = []
    digest = hashlib.file_digest

    def recorded(file: Any, name: str) -> Any:
        found.append(file)
        return digest(file, name)

    monkeypatch.setattr(hashlib, "file_digest", recorded)
    return found


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "flipped": lambda at: flip(at / "weights"),
    "cut": lambda at: os.truncate(at / "weights", 100),
    "emptied": lambda at: os.truncate(at / "weights", 0),
    "longer": lambda at: os.truncate(at / "weights", 257),
    "removed": lambda at: (at / "weights").unlink(),
    "a pipe": lambda at: fifo(at / "weights"),
    "another engine.json": lambda at: (at / "engine.json").write_text("{} "),
    "no digests": lambda at: (at / sealed_directory.SUMS).unlink(),
    "empty digests": lambda at: (at / sealed_directory.SUMS).write_text(""),
    "digests that are none": lambda at: (at / sealed_directory.SUMS).write_text("x" * 99),
    "binary digests": lambda at: (at / sealed_directory.SUMS).write_bytes(b"\xff" * 99),
    "digests in a pipe": lambda at: fifo(at / sealed_directory.SUMS),
    "digests of files elsewhere": lambda at: (at / sealed_directory.SUMS).write_text(f"{'0' * 64}  ../x\n"),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("is_noted", [True, False])
def test_damage_is_noticed(directory: Path, damage: str, is_noted: bool) -> None:
    assert sealed_directory.is_intact(directory)
    if not is_noted:
        (directory / NOTE).unlink()
    DAMAGE[damage](directory)
    assert not sealed_directory.is_intact(directory)
    assert not sealed_directory.is_intact(directory), "the second time too"


def test_what_did_not_change_is_hashed_once(directory: Path, hashed: list[object]) -> None:
    assert sealed_directory.is_intact(directory) and hashed == []
    (directory / "cache" / "more").touch()
    assert sealed_directory.is_intact(directory) and hashed == []
    (directory / "weights").touch()
    assert sealed_directory.is_intact(directory) and len(hashed) == 2
    assert sealed_directory.is_intact(directory) and len(hashed) == 2


@pytest.mark.parametrize("note", [b"", b"[]", b"\xff", b"[" * 10_000, b"null"])
def test_a_note_that_is_none_is_written_again(directory: Path, hashed: list[object], note: bytes) -> None:
    (directory / NOTE).write_bytes(note)
    assert sealed_directory.is_intact(directory) and len(hashed) == 2
    assert sealed_directory.is_intact(directory) and len(hashed) == 2


def test_a_directory_may_be_sealed_again(directory: Path) -> None:
    (directory / "weights").write_bytes(b"others")
    (directory / ".lock").touch()
    sealed_directory.seal(directory)
    (directory / ".lock").unlink()
    assert sealed_directory.is_intact(directory)
    assert [line.split()[1] for line in (directory / "SHA256SUMS").read_text().splitlines()] == [
        "engine.json",
        "weights",
    ]


def test_a_copy_is_verified_on_its_own(directory: Path, tmp_path: Path, hashed: list[object]) -> None:
    copied = shutil.copytree(directory, tmp_path / "copy")
    assert sealed_directory.is_intact(copied) and len(hashed) == 2
    flip(copied / "weights")
    assert not sealed_directory.is_intact(copied) and sealed_directory.is_intact(directory)
