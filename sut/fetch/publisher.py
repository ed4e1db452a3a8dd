"""Sizes and checksums that are not in the catalogue: asked of Zenodo's API or read from Hugging Face's headers.

They are pinned with the file (store.Pin), so that they are asked for once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from foundation.typed_json import decode
from sut.fetch import checksum, http
from sut.fetch.catalogue import Source
from sut.fetch.checksum import Checksum


@dataclass(frozen=True)
class ExpectedFile:
    """The size and checksum that a file must have; None if unknown."""

    bytes: int | None
    checksum: Checksum | None


@dataclass(frozen=True)
class _ZenodoFile:
    key: str
    size: int
    checksum: str


@dataclass(frozen=True)
class _ZenodoRecord:
    files: tuple[_ZenodoFile, ...]


def ask(session: http.Session, source: Source, policy: http.RetryPolicy) -> ExpectedFile:
    """Ask the publisher's API of `source.record`.

    Raises:
        RetryLaterError, UrlRefusedError: the publisher does not answer, or its answer has no checksum.
    """
    assert source.record
    kind, url = source.record
    return _ASK[kind](session, url, source, policy)


def _zenodo(session: http.Session, url: str, source: Source, policy: http.RetryPolicy) -> ExpectedFile:
    try:
        record = decode(_ZenodoRecord, http.get_json(session, url, policy))
        entry = next(entry for entry in record.files if entry.key in source.names and entry.size >= 0)
        return ExpectedFile(entry.size, checksum.parse(entry.checksum))
    except (StopIteration, ValueError) as error:
        raise http.UrlRefusedError(f"no size and checksum of {', '.join(sorted(source.names))}") from error


def _huggingface(session: http.Session, url: str, source: Source, policy: http.RetryPolicy) -> ExpectedFile:
    """The ETag of a large file is its sha256, that of a small one its git hash."""
    headers = http.head(session, url, policy)
    etag = (headers.get("x-linked-etag") or headers.get("etag", "")).removeprefix("W/").strip('"')
    kind = {64: "sha256", 40: "git"}.get(len(etag), "")
    size = headers.get("x-linked-size") or headers.get("content-length", "")
    try:
        return ExpectedFile(http.whole_number(size), checksum.parse(f"{kind}:{etag}"))
    except ValueError as error:
        raise http.UrlRefusedError(f"no checksum in the headers (ETag {etag!r})") from error


_ASK: dict[str, Callable[[http.Session, str, Source, http.RetryPolicy], ExpectedFile]] = {
    "zenodo": _zenodo,
    "huggingface": _huggingface,
}
