"""The tokenizer of pre-training: where it differs from that of inference, by hand, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from qsl.tokenizer_files import SPECIAL
from training.text.errors import TextError
from training.text.wordpiece import Tokenizer

WORDS = ["a", "b", "##b", "c", "é", "e", "A", "[", "]", "mask", ".", "東", "\ue000"]


def vocabulary(folder: Path, tokens: list[str]) -> Path:
    path = folder / "vocab.txt"
    path.write_text("\n".join(tokens) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def tokenizer(tmp_path: Path) -> Tokenizer:
    return Tokenizer(vocabulary(tmp_path, [*SPECIAL, *WORDS]), is_cased=False)


def names(tokenizer: Tokenizer, word: str) -> list[str]:
    return [tokenizer.tokens[number] for number in tokenizer.encode_word(word)]


@pytest.mark.parametrize(
    ("word", "pieces"),
    [
        ("[MASK]", ["[", "mask", "]"]),  # text is never a special token
        ("\ue000", ["\ue000"]),  # for private use: kept
        ("a\u0378b", ["[UNK]"]),  # unassigned: kept, and in no vocabulary
        ("a\u200bb\x07", ["a", "##b"]),  # format and control characters are dropped
        ("\x1c\u200b", []),
        ("É.東A", ["e", ".", "東", "a"]),
        ("a\u2028b", ["a", "b"]),
        ("a" + 199 * "b", ["a"] + 199 * ["##b"]),
        ("a" + 200 * "b", ["[UNK]"]),
    ],
)
def test_pieces_by_hand(tokenizer: Tokenizer, word: str, pieces: list[str]) -> None:
    assert names(tokenizer, word) == pieces


def test_case_and_accents_count_if_asked(tmp_path: Path) -> None:
    cased = Tokenizer(vocabulary(tmp_path, [*SPECIAL, *WORDS]), is_cased=True)
    assert names(cased, "A.é") == ["A", ".", "é"]
    assert names(Tokenizer(cased.path), "A.é") == ["A", ".", "é"]  # the vocabulary has capitals


@pytest.mark.parametrize(
    ("tokens", "words"),
    [(["a", *SPECIAL[:-1]], r"without \[MASK\]"), ([*SPECIAL, "b", "a", "b "], "'b' again in line 8"), ([], "empty")],
)
def test_vocabularies_that_are_refused(tmp_path: Path, tokens: list[str], words: str) -> None:
    path = vocabulary(tmp_path, tokens)
    if not tokens:
        path.write_bytes(b"")
    with pytest.raises(TextError, match=words):
        Tokenizer(path)
