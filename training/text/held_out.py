"""Articles that are held out for evaluation: which ones, by the definition of the reference's separate_test_set.

File i of n gives int((i + 1) · N / n) − int(i · N / n) of N articles, drawn with `random.Random(12345 + 13 · i)`. An
article is what is between two empty lines. The rest of the file and what is held out are written with an empty line
behind each.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from random import Random

from foundation.people_numbers import count
from training.text.errors import TextError
from training.text.recipe import SEED
from training.text.source_text import SourceText

ARTICLES = 10_000
_SEED_STEP = 13
_BETWEEN = b"\n\n"


def quota(file: int, files: int, articles: int) -> int:
    """Articles that file number `file` gives; floats, as the reference has them."""
    return int((file + 1) * articles * 1.0 / files) - int(file * articles * 1.0 / files)


def chosen(file: int, number: int, of: int) -> set[int]:
    """Which articles of the file, by their numbers. `number` is at most `of`."""
    rng = Random(SEED + _SEED_STEP * file)  # noqa: S311 - as the reference does
    found: set[int] = set()
    while len(found) < number:
        found.add(int(rng.random() * of))
    return found


def separate(text: SourceText, file: int, number: int, rest: Path, held: Path) -> tuple[SourceText, SourceText]:
    """Write the rest of a text, and what is held out of it.

    Raises:
        TextError: it has not that many articles.
    """
    articles = text.plain.read_bytes().replace(b"\r\n", b"\n").split(_BETWEEN)
    if number >= len(articles):
        raise TextError(
            f"expected more than {count(number, 'article')} in {text.path}, the share that is held out for evaluation, "
            f"found {len(articles):,}. Type fewer: --eval-articles N"
        )
    out = chosen(file, number, len(articles))
    return (
        _written(text, rest, (one for i, one in enumerate(articles) if i not in out)),
        _written(text, held, (one for i, one in enumerate(articles) if i in out)),
    )


def _written(text: SourceText, to: Path, articles: Iterable[bytes]) -> SourceText:
    with to.open("wb") as file:
        for article in articles:
            file.write(article + _BETWEEN)
        return replace(text, plain=to, size=file.tell())
