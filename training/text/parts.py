"""Parts of texts: what is made into instances together, with random numbers of its own, as the reference's parts are.

A part is a list of byte ranges, so that nothing is copied and each process reads what it needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path

from foundation.people_numbers import count
from training.text.errors import TextError
from training.text.source_text import SourceText

_BETWEEN = b"\n\n"  # an article ends with its file


@dataclass(frozen=True)
class Piece:
    """Bytes of a file of plain text."""

    path: Path
    start: int
    stop: int


@dataclass(frozen=True)
class Part:
    """Its name is for messages."""

    name: str
    pieces: tuple[Piece, ...]

    @property
    def size(self) -> int:
        """Bytes of text."""
        return sum(piece.stop - piece.start for piece in self.pieces)

    def read(self) -> bytes:
        """The text."""
        return _BETWEEN.join(map(_read, self.pieces))


def of_files(texts: Sequence[SourceText]) -> list[Part]:
    """A part of each file."""
    return [Part(str(text.path), (Piece(text.plain, 0, text.size),)) for text in texts]


def cut(texts: Sequence[SourceText], number: int) -> list[Part]:
    """This number of parts of about equal size, cut between articles.

    Raises:
        TextError: the texts have not enough articles.
    """
    starts = [0, *accumulate(text.size for text in texts)]
    total = starts[-1]
    bounds = [0, *(_article_start(texts, starts, total * k // number) for k in range(1, number)), total]
    ranges = sorted({(start, stop) for start, stop in pairwise(bounds) if start < stop})
    if len(ranges) < number:
        raise TextError(
            f"expected text for {count(number, 'part')}, found {count(total, 'byte')} with room for {len(ranges)}: "
            f"articles are not divided. Type: --parts {max(len(ranges), 1)}"
        )
    return [Part(f"part {k} of {number}", tuple(_pieces(texts, starts, *bounds))) for k, bounds in enumerate(ranges)]


def _read(piece: Piece) -> bytes:
    with piece.path.open("rb") as file:
        file.seek(piece.start)
        return file.read(piece.stop - piece.start)


def _article_start(texts: Sequence[SourceText], starts: Sequence[int], at: int) -> int:
    """The first byte behind a blank line from `at` on, or behind the file in which `at` lies."""
    k = next(k for k, stop in enumerate(starts[1:]) if at < stop or stop == starts[-1])
    with texts[k].plain.open("rb") as file:
        file.seek(at - starts[k])
        file.readline()
        while (line := file.readline()) and line.decode().strip():
            pass
        return starts[k] + file.tell()


def _pieces(texts: Sequence[SourceText], starts: Sequence[int], first: int, last: int) -> list[Piece]:
    found = []
    for text, (start, stop) in zip(texts, pairwise(starts), strict=True):
        low, high = max(first, start), min(last, stop)
        if low < high:
            found.append(Piece(text.plain, low - start, high - start))
    return found
