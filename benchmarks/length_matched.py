"""A small data set with the lengths of a large one, for all contestants of `benchmarks.cpu`.

Random lengths of a few dozen samples would make results depend on luck. So lengths are the large set's quantiles,
adjusted until their mean is equal. Speed does not depend on the tokens themselves, so texts are random whole words of
the vocabulary, in SQuAD v1.1's format: this package and every peer read the same file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qsl import squad
from qsl.base import Features
from qsl.wordpiece import WordPiece

LENGTHS = (384, 312, 266, 237, 214, 196, 181, 166, 153, 141, 130, 118, 105, 90)  # evenly spaced quantiles of SQuAD's
MEAN_LENGTH = 177.0  # tokens of a SQuAD v1.1 sample
_SPECIAL = 3  # [CLS] question [SEP] passage [SEP]
_QUESTION = 12  # tokens, about SQuAD's median
_SEED = 1


def quantiles(lengths: npt.NDArray[np.int64], samples: int) -> list[int]:
    """`samples` lengths distributed like `lengths`, with the same total up to half a token."""
    middles = (np.arange(samples) + 0.5) / samples
    found = np.quantile(lengths, middles, method="nearest").astype(int)
    low, high = int(lengths.min()), int(lengths.max())
    missing = round(samples * float(lengths.mean())) - int(found.sum())
    while missing:
        step = 1 if missing > 0 else -1
        movable = np.flatnonzero((found < high) if step > 0 else (found > low))[: abs(missing)]
        if not len(movable):  # all have the same length
            break
        found[movable] += step
        missing -= step * len(movable)
    return sorted(found.tolist())


def squad_lengths(samples: int) -> list[int]:
    """Lengths of `samples` samples in random order: SQuAD's quantiles, bent to a mean of MEAN_LENGTH."""
    longest = max(LENGTHS)
    shares = (np.arange(samples) + 0.5) / samples * (len(LENGTHS) - 1)
    found = np.interp(shares, np.arange(len(LENGTHS)), LENGTHS) / longest
    low, high = 0.5, 3.0
    for _ in range(40):  # the exponent of the bend: a larger one makes samples shorter
        middle = (low + high) / 2
        low, high = (middle, high) if (longest * found**middle).mean() > MEAN_LENGTH else (low, middle)
    bent = np.maximum(1, np.round(longest * found**low)).astype(int)
    return [int(length) for length in np.random.default_rng(_SEED).permutation(bent)]


def write(path: Path, vocab: Path, lengths: list[int]) -> Path:
    """Write a SQuAD v1.1 file in which each question is one sample with one of `lengths` tokens, in shuffled order."""
    words = _whole_words(vocab)
    rng = np.random.default_rng(_SEED)
    paragraphs = [_paragraph(words, rng, number, length) for number, length in enumerate(rng.permutation(lengths))]
    data = {"version": "1.1", "data": [{"title": "Lengths", "paragraphs": paragraphs}]}
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def _whole_words(vocab: Path) -> list[str]:
    """Words that are one token of WordPiece."""
    return [word for word in WordPiece(vocab).ids if word.isascii() and word.isalpha() and word.islower()]


def _paragraph(words: list[str], rng: np.random.Generator, number: int, length: int) -> dict[str, Any]:
    asked = min(_QUESTION, (length - _SPECIAL) // 2)
    question, passage = (" ".join(rng.choice(words, count)) for count in (asked, int(length) - _SPECIAL - asked))
    answer = {"text": passage.split()[0], "answer_start": 0}
    return {"context": passage, "qas": [{"id": f"{number:024x}", "question": question, "answers": [answer]}]}


def like(dataset: Path, vocab: Path, cache_dir: Path, samples: int, path: Path) -> Features:
    """Write `samples` samples with the lengths of `dataset` to `path`; returns their features."""
    whole = squad.load(dataset, vocab, cache_dir).features
    return squad.load(write(path, vocab, quantiles(whole.lengths, samples)), vocab, cache_dir).features
