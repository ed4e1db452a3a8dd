"""Files in sub-directories, archives that cannot be unpacked, and caches that belong to somebody else."""

from __future__ import annotations

import io
import os
import struct
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from bad_server import catalogue

from sut.__main__ import main
from sut.commands import fetch
from sut.errors import USAGE, FetchError, UsageError

URL = "http://publisher.invalid/files/x.zip"


def zipped(content: bytes = b"hello", name: str = "inner.txt") -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(name, content)
    return packed.getvalue()


def patched(content: bytes, old: bytes, new: bytes) -> bytes:
    assert old in content
    return content.replace(old, new)


def encrypted() -> bytes:
    """With the flag that says so, in both headers."""
    content = bytearray(zipped())
    for at in (6, content.index(b"PK\1\2") + 8):
        content[at] |= 1
    return bytes(content)


def of_another_method() -> bytes:
    content = bytearray(zipped())
    for at in (8, content.index(b"PK\1\2") + 10):
        content[at : at + 2] = struct.pack("<H", 99)
    return bytes(content)


def line(folder: Path, text: str) -> list[str]:
    (folder / "assets.toml").write_text(text, encoding="utf-8")
    return ["--catalogue", str(folder / "assets.toml"), "--cache-dir", str(folder / "cache"), "--offline"]


def bring(folder: Path, content: bytes, text: str) -> Path:
    """Fetch "thing" from the user's own file; returns the directory of the assets."""
    (folder / "x.zip").write_bytes(content)
    assert fetch.main(["thing", "--from", str(folder / "x.zip"), *line(folder, text)]) == 0
    return folder / "cache" / "assets"


def unpacking(content: bytes, target: str = "sub/dir/inner.txt") -> str:
    return catalogue(content, URL).replace("[file.thing]", f'unpack = {{ "inner.txt" = "{target}" }}\n[file.thing]')


def test_files_may_be_in_sub_directories(tmp_path: Path) -> None:
    text = catalogue(b"hello", URL).replace('"model.bin" = "thing"', '"sub/dir/model.bin" = "thing"')
    assert (bring(tmp_path, b"hello", text) / "thing" / "sub" / "dir" / "model.bin").read_bytes() == b"hello"


def test_a_member_may_be_unpacked_into_one(tmp_path: Path) -> None:
    content = zipped()
    found = bring(tmp_path, content, unpacking(content)) / "thing" / "sub" / "dir"
    assert [(one.name, one.read_bytes()) for one in found.iterdir()] == [("inner.txt", b"hello")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no zip at all", "expected inner.txt in model.bin of thing, found none"),
        (zipped(name="other.txt"), "expected inner.txt in model.bin of thing, found none"),
        (encrypted(), "is encrypted"),
        (of_another_method(), "compression"),
        (patched(zipped(), b"hello", b"jello"), "Bad CRC-32"),
        (patched(zipped(), b"PK\1\2", b"PK\1\3"), "Bad magic number"),
    ],
    ids=["no zip", "another member", "encrypted", "another method", "damaged", "a broken directory"],
)
def test_an_archive_that_cannot_be_unpacked_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(FetchError, match=message):
        bring(tmp_path, content, unpacking(content))
    left = [path.name for path in (tmp_path / "cache" / "assets" / "thing").rglob("*") if path.is_file()]
    assert left == ["model.bin"]


def test_a_bundle_is_a_regular_file_with_members_of_their_pinned_size(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = line(tmp_path, catalogue(b"hello", URL))
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(UsageError, match="not a regular file"):
        fetch.main(["--unbundle", str(tmp_path / "fifo"), *places])
    bring(tmp_path, b"hello", catalogue(b"hello", URL))
    for replaced in (False, True):
        assert fetch.main(["thing", "--bundle", str(tmp_path / "b.tar"), *places]) == 0
        assert ("replaced an earlier file" in capsys.readouterr().err) is replaced
    with tarfile.open(tmp_path / "b.tar") as good, tarfile.open(tmp_path / "bad.tar", "w") as bad:
        for member in good:
            content = good.extractfile(member)
            assert content
            data = content.read() + b"x" * (member.name != "pins.json")
            member.size = len(data)
            bad.addfile(member, io.BytesIO(data))
    (tmp_path / "cache" / "assets" / "thing" / "model.bin").unlink()
    with pytest.raises(UsageError, match="of another size"):
        fetch.main(["--unbundle", str(tmp_path / "bad.tar"), *places])


@pytest.fixture
def as_nobody() -> Iterator[Path]:
    """A directory that anyone may enter, in a process that has become another user."""
    if os.geteuid():
        pytest.skip("only root can become another user")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        (Path(folder) / "cache" / "assets").mkdir(parents=True)
        (Path(folder) / "cache").chmod(0o700)
        line(Path(folder), catalogue(b"hello", URL))
        import_module("sut.commands.assets")  # while this user may read it
        os.seteuid(65534)
        yield Path(folder)
        os.seteuid(0)


@pytest.mark.parametrize("verb", [["fetch", "thing", "--offline"], ["assets"]])
def test_another_users_cache_is_one_line(as_nobody: Path, verb: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    places = ["--catalogue", str(as_nobody / "assets.toml"), "--cache-dir", str(as_nobody / "cache")]
    assert main([*verb, *places]) == USAGE
    printed = capsys.readouterr().err
    assert printed.startswith("error: expected ") and printed.count("\n") == 1 and "Permission denied" in printed
