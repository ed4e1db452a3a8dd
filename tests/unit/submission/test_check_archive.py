"""Tarballs that would do harm: each is refused in a sentence, and nothing is left or written elsewhere."""

from __future__ import annotations

import gzip
import io
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from submission_tree import Trees

from submission.check import archive
from submission.check.command import check

Fill = Callable[[tarfile.TarFile], None]


@pytest.fixture(autouse=True)
def nothing_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The temporary directory of archives is empty afterwards, and no file is outside it."""
    inside = tmp_path / "outer" / "temporary"
    inside.mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(inside))
    yield
    assert list((tmp_path / "outer").rglob("*")) == [inside]


def add(tar: tarfile.TarFile, name: str, content: bytes = b"x", kind: bytes = tarfile.REGTYPE, to: str = "") -> None:
    member = tarfile.TarInfo(name)
    member.type, member.size, member.linkname = kind, len(content), to
    tar.addfile(member, io.BytesIO(content))


def add_all(tar: tarfile.TarFile, *names: str, content: bytes = b"x", kind: bytes = tarfile.REGTYPE) -> None:
    for name in names:
        add(tar, name, content, kind)


def refused(path: Path) -> str:
    """The one rule that is reported."""
    found = check(path, "v6.1")
    assert not found.holds
    assert len(found.failures) == 1
    assert found.failures[0].file == path.name
    return found.failures[0].rule


def packed(folder: Path, fill: Fill, mode: str = "w:gz") -> Path:
    path = folder / "bad.tar.gz"
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        fill(tar)
    return path


ATTACKS: dict[str, tuple[str, Fill]] = {
    "up": ("archive.name", lambda tar: add(tar, "../escaped")),
    "up from within": ("archive.name", lambda tar: add(tar, "open/../../escaped")),
    "up as a directory": ("archive.name", lambda tar: add(tar, "..", b"", tarfile.DIRTYPE)),
    "absolute": ("archive.name", lambda tar: add(tar, "/tmp/escaped")),
    "backslashes": ("archive.name", lambda tar: add(tar, "..\\escaped")),
    "a long name": ("archive.name", lambda tar: add(tar, "a/" * 600)),
    "a long part": ("archive.name", lambda tar: add(tar, "a" * 300)),
    "twice": ("archive.name", lambda tar: add_all(tar, "open/a", "open/a")),
    "a file, then a directory": ("archive.name", lambda tar: add_all(tar, "open", "open/a")),
    "a symbolic link": ("archive.kind", lambda tar: add(tar, "open", b"", tarfile.SYMTYPE, "/tmp")),
    "a hard link": ("archive.kind", lambda tar: add(tar, "open", b"", tarfile.LNKTYPE, "/etc/passwd")),
    "a character device": ("archive.kind", lambda tar: add(tar, "open", b"", tarfile.CHRTYPE)),
    "a block device": ("archive.kind", lambda tar: add(tar, "open", b"", tarfile.BLKTYPE)),
    "a pipe": ("archive.kind", lambda tar: add(tar, "open", b"", tarfile.FIFOTYPE)),
    "a sparse file": ("archive.kind", lambda tar: add(tar, "open", b"", tarfile.CONTTYPE)),
    "zeros": ("archive.limit", lambda tar: add(tar, "open/a", bytes(archive.RATIO_FROM_BYTES + (1 << 20)))),
    "many": (
        "archive.limit",
        lambda tar: add_all(tar, *["open"] * (archive.MAX_MEMBERS + 1), content=b"", kind=tarfile.DIRTYPE),
    ),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks(tmp_path: Path, attack: str) -> None:
    rule, fill = ATTACKS[attack]
    assert refused(packed(tmp_path, fill)) == rule


def test_a_link_and_then_a_file_through_it(tmp_path: Path) -> None:
    def fill(tar: tarfile.TarFile) -> None:
        add(tar, "open", b"", tarfile.SYMTYPE, str(tmp_path))
        add(tar, "open/escaped")

    assert refused(packed(tmp_path, fill)) == "archive.kind"
    assert not (tmp_path / "escaped").exists()


def test_a_header_that_is_a_bomb(tmp_path: Path) -> None:
    """A comment that the library reads into memory whole."""
    path = tmp_path / "bad.tar.gz"
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT) as tar:
        member = tarfile.TarInfo("open/a")
        member.pax_headers = {"comment": "x" * (archive.RATIO_FROM_BYTES + (1 << 20))}
        tar.addfile(member)
    assert refused(path) == "archive.limit"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"\x1f\x8b",
        b"\x1f\x8b" + b"\xff" * 600,
        gzip.compress(b"hello" * 500),
        gzip.compress(b"\xff" * 1024),
    ],
    ids=["empty", "text", "the magic", "no gzip", "gzip of text", "gzip of a broken header"],
)
def test_files_that_are_no_tarballs(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.tar.gz"
    path.write_bytes(content)
    assert refused(path) == "archive.broken"


def test_a_tarball_of_another_compression_is_called_that(tmp_path: Path) -> None:
    for mode, word in (("w:bz2", "bzip2"), ("w:xz", "an xz archive")):
        [failure] = check(packed(tmp_path, lambda tar: add(tar, "open/a"), mode), "v6.1").failures
        assert failure.rule == "archive.broken" and word in failure.found


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_tarballs_that_are_cut_short(whole: Trees, tmp_path: Path, share: float) -> None:
    path = packed(tmp_path, lambda tar: tar.add(whole("v6.1", "open").root / "open", "open"))
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert refused(path) == "archive.broken"


def _flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-1],
        lambda content: content[:-8],
        lambda content: _flipped(content, len(content) - 8),
        lambda content: _flipped(content, len(content) - 1),
        lambda content: content + b"more",
    ],
    ids=["cut by 1", "without its trailer", "another checksum", "another size", "with more after it"],
)
def test_the_checksum_of_gzip_is_verified(whole: Trees, tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = packed(tmp_path, lambda tar: tar.add(whole("v6.1", "open").root / "open", "open"))
    path.write_bytes(damage(path.read_bytes()))
    assert refused(path) == "archive.broken"


def test_a_tarball_of_the_directory_above_says_where_it_is(whole: Trees, tmp_path: Path) -> None:
    path = packed(tmp_path, lambda tar: tar.add(whole("v6.1", "open").root / "open", "package/open"))
    found = check(path, "v6.1").failures
    assert {one.rule for one in found} == {"tree.division", "tree.results"}
    assert any("package" in one.todo for one in found)


def test_an_archive_with_dot_prefixed_names_is_accepted(whole: Trees, tmp_path: Path) -> None:
    path = packed(tmp_path, lambda tar: tar.add(whole("v6.1", "open").root / "open", "./open"))
    assert check(path, "v6.1").holds
