"""An accuracy log on its way into a package: cut to its ends, the hash that of the whole."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from submission.package.accuracy_log import pack, truncated


def log_of(path: Path, size: int) -> bytes:
    content = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    path.write_bytes(content)
    return content


@pytest.mark.parametrize("size", [10_241, 100_000])
def test_a_large_log_keeps_its_first_and_last_bytes(tmp_path: Path, size: int) -> None:
    content = log_of(tmp_path / "log.json", size)
    cut = truncated(tmp_path / "log.json")
    assert cut == content[:4096] + b"\n\n...\n\n" + content[-4096:]
    assert len(cut) == 8199


@pytest.mark.parametrize("size", [0, 8199, 10_240])
def test_a_small_log_stays_as_it_is(tmp_path: Path, size: int) -> None:
    content = log_of(tmp_path / "log.json", size)
    assert truncated(tmp_path / "log.json") == content


def test_accuracy_txt_has_the_hash_of_the_whole_log_alone_on_its_last_line(tmp_path: Path) -> None:
    content = log_of(tmp_path / "log.json", 50_000)
    pack(tmp_path / "log.json", '{"exact_match": 1.0, "f1": 2.0}\na notice', tmp_path / "packed")
    assert (tmp_path / "packed" / "accuracy.txt").read_text().splitlines() == [
        '{"exact_match": 1.0, "f1": 2.0}',
        "a notice",
        f"hash={hashlib.sha256(content).hexdigest()}",
    ]
    assert (tmp_path / "log.json").read_bytes() == content
    assert (tmp_path / "packed" / "log.json").stat().st_size == 8199
