"""Learns a WordPiece vocabulary from the train split: lower-cased, accents stripped, BERT's special tokens first.

Every ASCII character and its continuation are added, so that no ASCII word is unknown.
"""

from __future__ import annotations

import string
from collections.abc import Iterable, Iterator
from typing import Any

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SINGLE = string.ascii_lowercase + string.digits + string.punctuation
SIZE = 3000


def learn(texts: Iterable[str], size: int = SIZE) -> list[str]:
    """The entries in order: at most `size`, plus the single characters that the trainer did not choose."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))  # noqa: S106 - a token of text
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=size, special_tokens=SPECIAL, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    found = tokenizer.get_vocab()
    entries = sorted(found, key=found.__getitem__)
    needed = [*SINGLE, *(f"##{character}" for character in SINGLE)]
    return entries + [entry for entry in needed if entry not in found]


def texts_of(dataset: dict[str, Any]) -> Iterator[str]:
    """Passages and questions of a data set in SQuAD v1.1's form."""
    for article in dataset["data"]:
        for paragraph in article["paragraphs"]:
            yield paragraph["context"]
            yield from (question["question"] for question in paragraph["qas"])
