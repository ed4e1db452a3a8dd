"""Unpacks an untrusted submission tarball into a temporary directory, which is removed afterwards.

Only plain files and directories are written, by our own code and only inside that directory; links, devices, absolute
paths and `..` are refused. The limits apply to the decompressor's output, so that neither a large member nor a large
header gets past them.
"""

from __future__ import annotations

import gzip
import io
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from foundation import file_kinds, held_directory
from foundation.bounded_readers import require_regular
from submission.check.failure import Failure, RefusedError

MAX_TOTAL_BYTES = 1 << 30
MAX_RATIO = 200  # unpacked bytes to packed bytes, checked above RATIO_FROM_BYTES unpacked bytes
RATIO_FROM_BYTES = 16 << 20
MAX_MEMBERS = 20_000
MAX_NAME_BYTES = 1024
_AT_ONCE = 1 << 20
_GZIP = b"\x1f\x8b"
# What the standard library raises for malformed headers and streams.
_BROKEN = (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError, OverflowError, RecursionError)
_PLAIN = (tarfile.REGTYPE, tarfile.AREGTYPE)
_KINDS = {
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.LNKTYPE: "a hard link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
}


@contextmanager
def opened(path: Path) -> Iterator[Path]:
    """The tarball's content as a directory that exists inside the `with` block.

    Raises:
        RefusedError: the file is not a tarball, is truncated, or holds something that a submission must not.
    """
    with held_directory.temporary("submission") as folder:
        try:
            _unpack(path, folder)
        except _BROKEN as error:
            found = file_kinds.at(path)
            why = str(error) if found in (None, file_kinds.GZIP) else f"{found} ({error})"
            raise _refused(path, "archive.broken", why, "a complete .tar or .tar.gz", "Pack again.") from error
        yield folder


def _unpack(path: Path, folder: Path) -> None:
    size = require_regular(path)
    with path.open("rb") as packed:
        is_gzip = packed.read(2) == _GZIP
        packed.seek(0)
        stream = gzip.GzipFile(fileobj=packed) if is_gzip else packed
        limited = _Limited(path, stream, min(MAX_TOTAL_BYTES, _allowed(size)))
        with tarfile.open(fileobj=limited, mode="r|") as tar:
            for count, member in enumerate(tar):
                if count >= MAX_MEMBERS:
                    expected = f"at most {MAX_MEMBERS:,} files and directories"
                    raise _refused(path, "archive.limit", "more", expected, "Pack only the submission.")
                _write(path, tar, member, folder)
        while limited.read():  # gzip's checksum comes after tar's end
            pass


def _allowed(packed_bytes: int) -> int:
    return max(RATIO_FROM_BYTES, MAX_RATIO * packed_bytes)


class _Limited(io.BufferedIOBase):
    """A stream that refuses to yield more than `limit` bytes; `read` is all that tarfile needs."""

    def __init__(self, path: Path, stream: IO[bytes] | gzip.GzipFile, limit: int) -> None:
        self._path, self._stream, self._limit, self._read = path, stream, limit, 0

    def read(self, size: int | None = None, /) -> bytes:
        data = self._stream.read(_AT_ONCE if size is None else min(size, _AT_ONCE))
        self._read += len(data)
        if self._read > self._limit:
            expected = f"at most {self._limit:,} bytes unpacked, {MAX_RATIO} times the tarball"
            raise _refused(self._path, "archive.limit", "more", expected, "Pack only the submission.")
        return data


def _write(path: Path, tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    target = folder / _inside(path, member.name)
    try:
        if member.isdir():
            target.mkdir(parents=True, exist_ok=True)
        elif member.type in _PLAIN and not member.issparse() and (source := tar.extractfile(member)) is not None:
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as written:
                shutil.copyfileobj(source, written)
        else:
            kind = _KINDS.get(member.type, f"a member of type {member.type!r}")
            found = f"{kind}: {member.name}"
            raise _refused(path, "archive.kind", found, "files and directories", "Pack copies instead.")
    except OSError as error:
        found = f"{member.name[:100]!r}: {error.strerror}"
        raise _refused(path, "archive.name", found, "unique names of legal length", "Pack it again.") from error


def _inside(path: Path, name: str) -> PurePosixPath:
    relative = PurePosixPath(name)
    is_safe = not relative.is_absolute() and ".." not in relative.parts and "\0" not in name and "\\" not in name
    if not is_safe or len(name.encode(errors="surrogateescape")) > MAX_NAME_BYTES:
        found = repr(name[:100])
        raise _refused(path, "archive.name", found, "a relative path inside the package", "Pack with: tar -czf … open")
    return relative


def _refused(path: Path, rule: str, found: str, expected: str, todo: str) -> RefusedError:
    return RefusedError(Failure(path.name, rule, found, expected, todo))
