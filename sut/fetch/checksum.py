"""A file's checksum: what a publisher states, whatever kind it is, and what the bytes on disk have.

Files are hashed when they are whole, in one pass for all kinds: a download that was resumed needs no state of its own.
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


# md5 and git stop no attacker, but are what some publishers state; a sha256 is pinned beside them.
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
    """The checksum that "KIND:HEX" states.

    Raises:
        ValueError: it states none.
    """
    kind, _, digits = text.strip().lower().partition(":")
    if len(digits) != _DIGITS.get(kind) or set(digits) - set("0123456789abcdef"):
        raise ValueError(f"expected a checksum as {', '.join(f'{kind}:HEX' for kind in _KINDS)}, found {text!r}")
    return Checksum(kind, digits)


def of_file(path: Path, kinds: Iterable[str], on_bytes: Callable[[int], None] = lambda done: None) -> dict[str, str]:
    """Digits by kind; `on_bytes` hears now and then how many bytes are done."""
    hashes = {kind: _KINDS[kind](path.stat().st_size) for kind in kinds}
    done = 0
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(_CHUNK_BYTES):
            for one in hashes.values():
                one.update(chunk)
            done += len(chunk)
            on_bytes(done)
    return {kind: one.hexdigest() for kind, one in hashes.items()}
