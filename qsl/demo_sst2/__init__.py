"""The embedded sentiment data set: a seeded generator of short judgements in the format of GLUE's SST-2 files.

The checksum of a sentence decides its split, so that the splits have no sentence in common, whatever their seeds and
sizes. `python -m qsl.demo_sst2 dev dev.tsv` writes one.
"""

from __future__ import annotations

import zlib
from pathlib import Path

from foundation import atomic_write
from qsl.demo.seeded_choice import Draw
from qsl.demo_sst2.compose import compose

SPLITS = {"dev": 870, "train": 20000}
HEADER = "sentence\tlabel"
_DEV_SHARE = 5  # one sentence in five belongs to the dev split


def generate(split: str, seed: int = 1, sentences: int | None = None) -> list[tuple[str, int]]:
    """(sentence, label) pairs of a split, without repetition and balanced; 0 is negative, 1 positive."""
    if split not in SPLITS:
        raise ValueError(f"split {split!r} is not one of {', '.join(SPLITS)}")
    draw = Draw(seed)
    total = SPLITS[split] if sentences is None else sentences
    found: dict[str, int] = {}
    while len(found) < total:
        label = len(found) % 2
        sentence = compose(draw, label)
        if _split(sentence) == split:
            found.setdefault(sentence, label)
    return draw.shuffled(list(found.items()))


def write(path: Path | str, split: str, seed: int = 1, sentences: int | None = None, shuffled: bool = False) -> None:
    """Write the data set; a reader never sees half a file."""
    pairs = generate(split, seed, sentences)
    lines = [HEADER, *(f"{sentence}\t{label}" for sentence, label in (shuffle_labels(pairs) if shuffled else pairs))]
    atomic_write.write_text(Path(path), "\n".join(lines) + "\n")


def shuffle_labels(pairs: list[tuple[str, int]], seed: int = 1) -> list[tuple[str, int]]:
    """The same sentences with shuffled labels: a model that understands the sentences must fail on them."""
    labels = Draw(seed).shuffled([label for _, label in pairs])
    return [(sentence, label) for (sentence, _), label in zip(pairs, labels, strict=True)]


def _split(sentence: str) -> str:
    return "dev" if zlib.crc32(sentence.encode()) % _DEV_SHARE == 0 else "train"
