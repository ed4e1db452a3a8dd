"""Checksums: those that a publisher states, of several kinds, and those of a file on disk.

A file is hashed when it is complete, in one pass for all kinds, so a resumed download needs no hash state.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

_CHUNK_BYTES = 1 << 20


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


# md5 and git are not safe against attackers, but some publishers state no others; a sha256 is pinned in addition.
_KINDS: dict[str, Callable[[int], _Hash]] = {
    "sha256": lambda size_bytes: hashlib.sha256(),
    "md5": lambda size_bytes: hashlib.md5(usedforsecurity=False),
    "git": lambda size_bytes: hashlib.sha1(f"blob {size_bytes}\0".encode(), usedforsecurity=False),
}
_DIGITS = {"sha256": 64, "md5": 32, "git": 40}


@dataclass(frozen=True)
class Checksum:
    """One of the kinds above, and its hexadecimal digits."""

    kind: str
    digits: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.digits}"


def parse(text: str) -> Checksum:
    """Parse "KIND:HEX".

    Raises:
        ValueError: `text` is not of that form.
    """
    kind, _, digits = text.strip().lower().partition(":")
    if len(digits) != _DIGITS.get(kind) or set(digits) - set("0123456789abcdef"):
        raise ValueError(f"expected a checksum as {', '.join(f'{kind}:HEX' for kind in _KINDS)}, found {text!r}")
    return Checksum(kind, digits)


def of_file(path: Path, kinds: Iterable[str], on_bytes: Callable[[int], None] = lambda done: None) -> dict[str, str]:
    """Digits by kind; `on_bytes` is called with the number of bytes done so far."""
    hashes = {kind: _KINDS[kind](path.stat().st_size) for kind in kinds}
    done = 0
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(_CHUNK_BYTES):
            for one in hashes.values():
                one.update(chunk)
            done += len(chunk)
            on_bytes(done)
    return {kind: one.hexdigest() for kind, one in hashes.items()}
