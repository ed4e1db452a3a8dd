"""Sizes and hashes that only the publisher states: Zenodo's API, Hugging Face's headers.

What they say is pinned with the file (shelf.Pin), so that it is asked for once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sut.fetch import checksum, http
from sut.fetch.catalogue import Source
from sut.fetch.checksum import Checksum


@dataclass(frozen=True)
class Stated:
    """What a file must be; None where nobody says."""

    bytes: int | None
    checksum: Checksum | None


def ask(via: http.Session, source: Source, policy: http.Policy) -> Stated:
    """What `source.record` states.

    Raises:
        LaterError, RefusedError: the publisher does not answer, or not with that.
    """
    assert source.record
    kind, url = source.record
    return _ASK[kind](via, url, source, policy)


def _zenodo(via: http.Session, url: str, source: Source, policy: http.Policy) -> Stated:
    record = http.get_json(via, url, policy)
    try:
        entry = next(entry for entry in record["files"] if entry["key"] in source.names)
        return Stated(int(entry["size"]), checksum.parse(entry["checksum"]))
    except (StopIteration, KeyError, TypeError, ValueError) as error:
        raise http.RefusedError(f"no size and checksum of {', '.join(sorted(source.names))}") from error


def _huggingface(via: http.Session, url: str, source: Source, policy: http.Policy) -> Stated:
    """A large file's ETag is its sha256, a small one's is git's name for its content."""
    headers = http.head(via, url, policy)
    etag = (headers.get("x-linked-etag") or headers.get("etag", "")).removeprefix("W/").strip('"')
    kind = {64: "sha256", 40: "git"}.get(len(etag), "")
    size = headers.get("x-linked-size") or headers.get("content-length", "")
    try:
        return Stated(int(size) if size.isdigit() else None, checksum.parse(f"{kind}:{etag}"))
    except ValueError as error:
        raise http.RefusedError(f"no checksum in the headers (ETag {etag!r})") from error


_ASK: dict[str, Callable[[http.Session, str, Source, http.Policy], Stated]] = {
    "zenodo": _zenodo,
    "huggingface": _huggingface,
}
