"""Learns a WordPiece vocabulary from texts: lower-cased, accents stripped, BERT's special tokens first.

Then come the characters, alone and continued, in their order: all of ASCII, so that no ASCII word is unknown. The
trainer breaks ties by these numbers, which it would otherwise give at random; so one text gives one vocabulary.
"""

from __future__ import annotations

import string
from collections.abc import Iterable, Iterator
from typing import Any

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ASCII = string.ascii_lowercase + string.digits + string.punctuation
SIZE = 3000


def learn(texts: Iterable[str], size: int = SIZE) -> list[str]:
    """The entries in order: `size` of them, fewer from a text of few words, more for one of many characters."""
    lines = list(texts)
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))  # noqa: S106 - a token of text
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    found = set().union(*map(tokenizer.normalizer.normalize_str, lines))
    characters = sorted({*ASCII, *(one for one in found if not one.isspace())})
    first = [*SPECIAL, *characters, *(f"##{one}" for one in characters)]
    trainer = trainers.WordPieceTrainer(vocab_size=size, special_tokens=first, show_progress=False)
    tokenizer.train_from_iterator(lines, trainer)
    numbers = tokenizer.get_vocab()
    return sorted(numbers, key=numbers.__getitem__)


def texts_of(dataset: dict[str, Any]) -> Iterator[str]:
    """Passages and questions of a data set in SQuAD v1.1's form."""
    for article in dataset["data"]:
        for paragraph in article["paragraphs"]:
            yield paragraph["context"]
            yield from (question["question"] for question in paragraph["qas"])
