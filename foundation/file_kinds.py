"""Recognizes what lies in place of a file that was expected: a Git LFS pointer, a web page, an archive.

Readers call it when parsing failed, so that the message names the cause and not a symptom such as "broken at byte 0".
"""

from __future__ import annotations

from pathlib import Path

from foundation.bounded_readers import UnreadableError, require_regular

_HEAD_BYTES = 4096
_POINTER = "a Git LFS pointer instead of the file itself (type: git lfs pull)"
GZIP = "a gzip archive"
# The first bytes, lower case and without leading blanks → what such a file is.
_STARTS = {
    b"version https://git-lfs.github.com": _POINTER,
    b"/annex/objects/": "a git-annex pointer instead of the file itself (type: git annex get)",
    b"<!doctype html": "a web page (HTML)",
    b"<html": "a web page (HTML)",
    b"<?xml": "an XML document, such as a server's error",
    b"{": "JSON",
    b"[{": "JSON",
    b"\x89hdf\r\n\x1a\n": "an HDF5 file (TensorFlow's)",
    b"\x1f\x8b": GZIP,
    b"\xfd7zxz\0": "an xz archive",
    b"\x28\xb5\x2f\xfd": "a Zstandard archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"bzh": "a bzip2 archive",
    b"par1": "a parquet file",
    b"gguf": "a GGUF file",
}


def of(content: bytes) -> str | None:
    """What a file with this content (its first bytes suffice) is instead, in words; None if it is none of these.

    An empty file is "an empty file". Zip archives are not listed: PyTorch's files are zip archives.
    """
    head = content[:_HEAD_BYTES].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if not head:
        return "an empty file"
    return next((kind for start, kind in _STARTS.items() if head.startswith(start)), None)


def at(path: Path) -> str | None:
    """As `of`, of the file at `path`; None if it cannot be read."""
    try:
        require_regular(path)
        with path.open("rb") as file:
            return of(file.read(_HEAD_BYTES))
    except (OSError, UnreadableError):
        return None
