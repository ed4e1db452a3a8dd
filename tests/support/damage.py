"""What breaks readers: damage to a file, drawn by hypothesis, and a row of the table of readers.

A file is cut short, a bit of it is flipped, or a word of it is replaced by one that a parser stumbles over.
"""

from __future__ import annotations

import re
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hypothesis import strategies as st

WORDS = re.compile(rb'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?|[A-Za-z_]\w*|\S')
NASTY = [
    *(b"", b"\0", b"\xff", b"\xed\xa0\x80", b"null", b"true", b"[]", b"{}", b'""', b'"text"', b'{"a": 1}', b"[[1]]"),
    *(b"-1", b"0", b"1.5", b"1e999", b"NaN", b"-Infinity", b"18446744073709551616", b"9" * 5_000),
    *(b"[" * 3_000, b'{"a":' * 3_000, rb'"\ud800"', rb'"\u0000"', b"\x1b[2J", b"\n", b"\r\n\r\n", b"\t", b","),
]  # fmt: skip


@dataclass(frozen=True)
class Damage:
    """What is done to a file; positions are shares of its length."""

    kind: str
    at: float
    word: bytes

    def of(self, content: bytes) -> bytes:
        at = int(self.at * len(content))
        if self.kind == "cut":
            return content[:at]
        if self.kind == "flip" and content:
            return content[:at] + bytes([content[at] ^ 1 << len(self.word) % 8]) + content[at + 1 :]
        words = list(WORDS.finditer(content))
        if self.kind == "insert" or not words:
            return content[:at] + self.word + content[at:]
        found = words[int(self.at * len(words))]
        return content[: found.start()] + self.word + content[found.end() :]


DAMAGES = st.builds(
    Damage,
    st.sampled_from(["cut", "flip", "insert", "replace", "replace", "replace"]),
    st.floats(0, 1, exclude_max=True),
    st.sampled_from(NASTY),
)


@dataclass(frozen=True)
class Reader:
    """A reader, and a file that it reads: `make` writes it below a directory and returns its path."""

    make: Callable[[Path], Path]
    read: Callable[[Path], object]


@contextmanager
def full_disk(most_bytes: int) -> Iterator[None]:
    """Files of this process cannot become larger than this: write() fails as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def text(name: str, content: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
        return path

    return make
