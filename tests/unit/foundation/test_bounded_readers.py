"""Whatever is at a given path gives content or a short reason; nothing hangs or crashes."""

from __future__ import annotations

import os
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foundation import bounded_readers
from foundation.bounded_readers import UnreadableError

READERS: list[Callable[[Path], Any]] = [
    bounded_readers.read_bytes,
    bounded_readers.read_text,
    bounded_readers.read_json,
    bounded_readers.read_toml,
]


def file(folder: Path, content: bytes) -> Path:
    path = folder / "file"
    path.write_bytes(content)
    return path


def fifo(folder: Path) -> Path:
    os.mkfifo(folder / "fifo")
    return folder / "fifo"


def loop(folder: Path) -> Path:
    (folder / "loop").symlink_to("loop")
    return folder / "loop"


@pytest.mark.parametrize("read", READERS, ids=lambda one: one.__name__)
@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda folder: folder / "none", "No such file"),
        (lambda folder: folder, "a directory"),
        (fifo, "not a regular file"),
        (lambda folder: Path("/dev/zero"), "not a regular file"),
        (loop, "symbolic links"),
        (lambda folder: folder / ("n" * 300), "too long"),
        (lambda folder: folder / "nul\0", "null"),
    ],
    ids=("nothing", "a directory", "a FIFO", "a device", "a loop", "a long name", "a NUL"),
)
def test_paths_that_are_not_regular_files_are_refused(
    tmp_path: Path, read: Callable[[Path], Any], make: Callable[[Path], Path], reason: str
) -> None:
    with pytest.raises(UnreadableError, match=reason):
        read(make(tmp_path))


def test_a_link_is_followed(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(file(tmp_path, b"content"))
    assert bounded_readers.read_bytes(link) == b"content"


@pytest.mark.parametrize("size", [0, 9, 10])
def test_files_up_to_the_limit_are_read(tmp_path: Path, size: int) -> None:
    assert bounded_readers.read_bytes(file(tmp_path, bytes(size)), most_bytes=10) == bytes(size)


def test_a_file_takes_the_memory_of_its_size_not_of_the_limit(tmp_path: Path) -> None:
    path = file(tmp_path, bytes(100))
    tracemalloc.start()
    assert bounded_readers.read_bytes(path) == bytes(100)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_a_file_that_says_no_size_is_read_and_has_the_limit(tmp_path: Path) -> None:
    path = Path("/proc/self/mountinfo")
    assert bounded_readers.read_bytes(path) == path.read_bytes() != b""
    with pytest.raises(UnreadableError, match="more than 10 bytes"):
        bounded_readers.read_bytes(path, most_bytes=10)


def test_a_longer_file_is_refused_before_it_fills_memory(tmp_path: Path) -> None:
    path = file(tmp_path, b"")
    os.truncate(path, 1 << 40)  # sparse: a terabyte that no disk holds
    with pytest.raises(UnreadableError, match="more than 10 bytes"):
        bounded_readers.read_bytes(path, most_bytes=10)


def write_all(descriptor: int, pieces: list[bytes]) -> None:
    for piece in pieces:
        os.write(descriptor, piece)
    os.close(descriptor)


@pytest.mark.parametrize("pieces", [[b"a = 1"], [b"a", b" = ", b"1"]])
def test_a_pipe_is_read_to_its_end_where_that_is_allowed(pieces: list[bytes]) -> None:
    reading, writing = os.pipe()
    path = Path(f"/dev/fd/{reading}")
    with pytest.raises(UnreadableError, match="not a regular file"):
        bounded_readers.read_bytes(path)
    writer = threading.Thread(target=write_all, args=(writing, pieces))
    writer.start()
    assert bounded_readers.read_toml(path, pipes=True) == {"a": 1}
    writer.join()
    os.close(reading)


def test_a_pipe_gives_no_more_than_the_limit_and_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_readers, "_PATIENCE_S", 0.01)
    reading, writing = os.pipe()
    path = Path(f"/dev/fd/{reading}")
    with pytest.raises(UnreadableError, match="nothing came"):
        bounded_readers.read_bytes(path, pipes=True)
    os.write(writing, bytes(11))
    with pytest.raises(UnreadableError, match="more than 10 bytes"):
        bounded_readers.read_bytes(path, 10, pipes=True)
    os.close(writing)
    os.close(reading)


def test_a_pipe_that_gave_nothing_is_refused_at_once() -> None:
    reading, writing = os.pipe()
    os.close(writing)
    with pytest.raises(UnreadableError, match="closed before anything came"):
        bounded_readers.read_bytes(Path(f"/dev/fd/{reading}"), pipes=True)
    os.close(reading)


def test_text_is_utf_8_with_or_without_its_mark(tmp_path: Path) -> None:
    assert bounded_readers.read_text(file(tmp_path, "größer".encode("utf-8-sig"))) == "größer"
    with pytest.raises(UnreadableError, match=r"not UTF-8.*byte 2"):
        bounded_readers.read_text(file(tmp_path, b"gr\xf6sser"))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"[" * 200_000, "nested too deeply"),
        (b'{"a": ' * 200_000, "nested too deeply"),
        (b"[1" + b"0" * 5000 + b"]", "digits"),
        (b'{"a": 1', "not JSON"),
        (b"", "not JSON"),
        (b"\xff\xfe", "not UTF-8"),
    ],
    ids=("lists", "objects", "a long number", "cut short", "empty", "binary"),
)
def test_json_that_cannot_be_parsed_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        bounded_readers.read_json(file(tmp_path, content))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"a = " + b"[" * 200_000, "TOML"),
        (b"a = 1" + b"0" * 5000, "digits"),
        (b"a = ", "not TOML"),
        (b"a = 1\na = 2", "not TOML"),
    ],
    ids=("deep", "a long number", "cut short", "twice"),
)
def test_toml_that_cannot_be_parsed_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        bounded_readers.read_toml(file(tmp_path, content))


def test_json_and_toml_are_read(tmp_path: Path) -> None:
    assert bounded_readers.read_json(file(tmp_path, b'{"a": [1, null]}')) == {"a": [1, None]}
    assert bounded_readers.read_toml(file(tmp_path, b"[a]\nb = 1")) == {"a": {"b": 1}}
