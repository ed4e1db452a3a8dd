"""The tokenizer against the `tokenizers` library, and against cases computed by hand."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from paths import ASSETS
from tokenizers import BertWordPieceTokenizer

from qsl.base import DatasetError
from qsl.wordpiece import WordPiece, basic_tokens

DEMO_VOCAB = ASSETS / "demo" / "vocab.txt"
# Letters with accents, marks of many kinds, other scripts, CJK, blanks and characters that are dropped.
ALPHABET = (
    "abcXYZ019 .,;:!?'\"-$€%&(){}[]^`~|<>=+*/\\@#_éÀüñçøßŁœžЖдيשλ中文한の–—“”’…\t\n\r\u00a0\u200b\u202f\ufffd\x00\x07"
)


@pytest.fixture(scope="module")
def ours() -> WordPiece:
    return WordPiece(DEMO_VOCAB)


@pytest.fixture(scope="module")
def theirs() -> BertWordPieceTokenizer:
    return BertWordPieceTokenizer(str(DEMO_VOCAB), lowercase=True)


# Python and the library carry Unicode tables of different years; both agree on what has not changed since 3.2.
KNOWN = st.characters(exclude_categories=["Cn", "Co", "Cs"]).filter(
    lambda char: unicodedata.ucd_3_2_0.category(char) == unicodedata.category(char)
)


@settings(max_examples=400)
@given(st.text(ALPHABET, max_size=60) | st.text(KNOWN, max_size=30))
@example("Zoë's café—naïve [MASK] £3.50")
@example("a" * 100 + " " + "a" * 101)
@example("[CLS][SEP] [PAD]x [UNK]")
def test_tokens_are_those_of_the_library(ours: WordPiece, theirs: BertWordPieceTokenizer, text: str) -> None:
    text = text.replace("Σ", "s")  # Python lowers a final sigma to ς, like the reference; the library does not
    assert ours.encode(text) == theirs.encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Héllo, WORLD!", ["hello", ",", "world", "!"]),
        ("it's 3.5%", ["it", "'", "s", "3", ".", "5", "%"]),
        ("東京 tower", ["東", "京", "tower"]),
        ("a\u200bb\x00c", ["abc"]),
        ("a\u00a0b\u3000c", ["a", "b", "c"]),
        ("ΟΔΟΣ", ["οδος"]),
        ("", []),
    ],
)
def test_basic_tokens_by_hand(text: str, tokens: list[str]) -> None:
    assert basic_tokens(text) == tokens


@pytest.mark.parametrize(
    ("content", "word"),
    [(None, "No such file"), (b"", "empty"), (b"[PAD]\n[UNK]\n[SEP]\na\n", r"\[CLS\]"), (b"\xff\xfe\x00", "UTF-8")],
)
def test_a_file_that_is_not_a_vocabulary_is_named(tmp_path: Path, content: bytes | None, word: str) -> None:
    path = tmp_path / "vocab.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DatasetError, match=word):
        WordPiece(path)


def test_windows_line_ends_make_no_difference(tmp_path: Path, ours: WordPiece) -> None:
    path = tmp_path / "vocab.txt"
    path.write_bytes("\r\n".join(ours.tokens).encode())
    assert WordPiece(path).tokens == ours.tokens
