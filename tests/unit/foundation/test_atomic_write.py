"""A file or directory is the old one or the new one: after an error, on a full disk, after a kill, in a race."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from paths import ROOT

from foundation import atomic_write

LIMIT_BYTES = 1 << 16


@pytest.fixture
def small_disk() -> Iterator[None]:
    """Files of this process may have 64 KiB at most; a longer write fails as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT_BYTES, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for text in ("first", "zweite, größer", '"\ud800"'):
        assert atomic_write.write_text(path, text) == path
        assert path.read_text(encoding="utf-8") == text.replace("\ud800", r"\ud800")
    assert names(tmp_path) == ["a.json"]


def test_a_file_has_the_rights_that_open_gives_it(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    path = atomic_write.write_text(tmp_path / "atomic", "")
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_name_may_be_as_long_as_the_file_system_takes(tmp_path: Path) -> None:
    name = "n" * 255
    atomic_write.write_text(tmp_path / name, "")
    assert names(tmp_path) == [name]


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("real")
    for text in ("first", "second"):
        atomic_write.write_text(tmp_path / "link", text)
        assert (tmp_path / "real").read_text() == text
    assert (tmp_path / "link").is_symlink()


def test_a_pipe_is_written_to_and_stays_one(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    atomic_write.write_text(pipe, "text")
    assert (os.read(reader, 100), names(tmp_path)) == (b"text", ["pipe"])
    os.close(reader)


def test_a_directory_is_no_place_for_a_file(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        atomic_write.write_text(tmp_path, "text")


def test_an_error_in_the_block_leaves_the_old_file(tmp_path: Path) -> None:
    path = atomic_write.write_text(tmp_path / "a", "old")
    with pytest.raises(KeyboardInterrupt), atomic_write.replacing(path) as file:
        file.write(b"new")
        raise KeyboardInterrupt
    assert (path.read_text(), names(tmp_path)) == ("old", ["a"])


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, small_disk: None) -> None:
    path = atomic_write.write_text(tmp_path / "a", "old")
    with pytest.raises(OSError, match="File too large"):
        atomic_write.write_bytes(path, bytes(2 * LIMIT_BYTES))
    assert (path.read_text(), names(tmp_path)) == ("old", ["a"])


def test_a_directory_that_is_not_there_is_an_error_of_the_caller(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        atomic_write.write_text(tmp_path / "none" / "a", "")


def test_a_kill_in_the_middle_leaves_the_old_file(tmp_path: Path) -> None:
    path = atomic_write.write_text(tmp_path / "a", "old")
    code = (
        "import os, pathlib, signal, sys; from foundation import atomic_write\n"
        "with atomic_write.replacing(pathlib.Path(sys.argv[1])) as file:\n"
        "    file.write(b'new'); file.flush(); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    assert [name for name in names(tmp_path) if not name.startswith(".a.")] == ["a"]


def is_whole(folder: Path) -> bool:
    return (folder / "whole").is_file()


def test_a_directory_is_made_with_its_parents_in_place_of_one_that_is_not_whole(tmp_path: Path) -> None:
    path = tmp_path / "cache" / "entry"
    path.mkdir(parents=True)
    (path / "half").touch()
    with atomic_write.replacing_directory(path, is_whole) as folder:
        (folder / "whole").touch()
        assert names(path) == ["half"]
    assert (names(path), names(path.parent)) == (["whole"], ["entry"])


def test_what_a_kill_has_left_is_removed_by_the_next_directory(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, signal, sys; from foundation import atomic_write\n"
        "with atomic_write.replacing_directory(pathlib.Path(sys.argv[1]), lambda _: True) as folder:\n"
        "    (folder / 'large').touch(); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "entry")], cwd=ROOT, check=False)
    (left,) = names(tmp_path)
    (tmp_path / ".mine.part").mkdir()
    (tmp_path / ".link.1-12345678.part").symlink_to(tmp_path / ".mine.part")
    with atomic_write.replacing_directory(tmp_path / "one", is_whole) as one:
        assert left not in names(tmp_path)
        with atomic_write.replacing_directory(tmp_path / "two", is_whole) as two:
            assert one.is_dir() and two.is_dir()
    assert names(tmp_path) == [".link.1-12345678.part", ".mine.part", "one", "two"]


def test_a_whole_directory_of_another_process_stays(tmp_path: Path) -> None:
    path = tmp_path / "entry"
    with atomic_write.replacing_directory(path, is_whole) as ours:
        (ours / "whole").write_text("ours")
        with atomic_write.replacing_directory(path, is_whole) as theirs:
            (theirs / "whole").write_text("theirs")
    assert (names(tmp_path), (path / "whole").read_text()) == (["entry"], "theirs")


def test_what_another_process_has_just_put_there_is_not_removed(tmp_path: Path) -> None:
    path, theirs = tmp_path / "entry", []

    def looked_at_too_early(folder: Path) -> bool:
        found = is_whole(folder)
        if not folder.exists():
            folder.mkdir()
            theirs.append(folder / "whole")
            theirs[0].write_text("theirs")
        return found

    with atomic_write.replacing_directory(path, looked_at_too_early) as ours:
        (ours / "whole").write_text("ours")
    assert (path / "whole").read_text() == ("theirs" if theirs else "ours")


def test_a_file_in_the_place_of_a_directory_is_an_error_of_the_caller(tmp_path: Path) -> None:
    path = atomic_write.write_text(tmp_path / "entry", "a file")
    with pytest.raises(NotADirectoryError), atomic_write.replacing_directory(path, is_whole) as folder:
        (folder / "whole").touch()
    assert (path.read_text(), names(tmp_path)) == ("a file", ["entry"])


def test_an_error_in_the_block_leaves_the_old_directory(tmp_path: Path) -> None:
    path = tmp_path / "entry"
    path.mkdir()
    with pytest.raises(OSError, match="full"), atomic_write.replacing_directory(path, is_whole) as folder:
        (folder / "whole").touch()
        raise OSError("full")
    assert (names(path), names(tmp_path)) == ([], ["entry"])
