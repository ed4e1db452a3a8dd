"""BERT's tokenizer, cased or uncased: basic splitting, then greedy longest-match WordPiece (Devlin et al., 2018).

The rules are those of the reference implementation's BasicTokenizer and WordpieceTokenizer, because features that
differ in one id are a different benchmark. All rules are local to a word, so each distinct word is tokenized once and
cached: a passage costs one dictionary look-up per word, and no tokenizer library is needed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path

from qsl import tokenizer_files
from qsl.base import DatasetError
from qsl.data_file import DataFile
from qsl.tokenizer_files import KIND, MAX_CHARS_PER_WORD, SPECIAL, TextRules

PAD, UNK, CLS, SEP, MASK = SPECIAL
UNCASED = TextRules()
_BLANKS = re.compile(r"[ \t\r\n]+")
_SPECIAL = re.compile(r"(\[(?:PAD|UNK|CLS|SEP|MASK)\])")
# The ranges that the reference treats as Chinese characters; each character is a word.
_CJK = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


def is_punctuation(char: str) -> bool:
    """Unicode punctuation, and every ASCII character that is neither letter, digit nor space ("$", "^", "`" too)."""
    code = ord(char)
    if 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126:
        return True
    return unicodedata.category(char).startswith("P")


def _is_cjk(char: str) -> bool:
    code = ord(char)
    return any(low <= code <= high for low, high in _CJK)


def _clean(text: str, rules: TextRules) -> str:
    """Drop control characters, turn white space into spaces, and surround each CJK character with spaces if asked."""
    out = []
    for char in text:
        category = unicodedata.category(char)
        if char in " \t\n\r" or category == "Zs":
            out.append(" ")
        elif char == "\ufffd" or category.startswith(rules.dropped):
            continue
        elif rules.split_chinese and _is_cjk(char):
            out.append(f" {char} ")
        else:
            out.append(char)
    return "".join(out)


def _split_punctuation(word: str) -> Iterator[str]:
    start = 0
    for i, char in enumerate(word):
        if is_punctuation(char):
            if start < i:
                yield word[start:i]
            yield char
            start = i + 1
    if start < len(word):
        yield word[start:]


def basic_tokens(text: str, rules: TextRules = UNCASED) -> list[str]:
    """Words and single punctuation marks, without case and accents as `rules` say (the reference's BasicTokenizer)."""
    tokens: list[str] = []
    for word in _clean(text, rules).split():
        tokens.extend(_split_punctuation(_normalized(word, rules)))
    return [part for token in tokens for part in token.split()]


def _normalized(word: str, rules: TextRules) -> str:
    if rules.lowercase:
        word = word.lower()
    if rules.strip_accents:
        word = "".join(char for char in unicodedata.normalize("NFD", word) if unicodedata.category(char) != "Mn")
    return word


class WordPiece:
    """A vocabulary and the tokenizer that uses it.

    Args:
        source: the vocabulary's file, vocab.txt or tokenizer.json; the files next to it may say that it is cased.

    Raises:
        DatasetError: a file is missing or not what its name says, or lacks one of [PAD], [UNK], [CLS], [SEP].
    """

    def __init__(self, source: Path | DataFile) -> None:
        file = DataFile.of(source, KIND, "--vocab")
        self.path = file.path
        read = tokenizer_files.read(file)
        self.tokens, self.rules, self.stated_in = read.tokens, read.rules, read.stated_in
        self.ids = {token: i for i, token in enumerate(self.tokens)}
        missing = [token for token in (PAD, UNK, CLS, SEP) if token not in self.ids]
        if missing:
            raise DatasetError(
                f"expected a BERT vocabulary at {self.path}, found {len(self.tokens)} tokens without "
                f"{', '.join(missing)}. Name a vocab.txt with --vocab FILE."
            )
        self._cache: dict[str, tuple[int, ...]] = {}

    def __len__(self) -> int:
        return len(self.tokens)

    def encode(self, text: str) -> list[int]:
        """The ids of the text's word pieces, without special tokens."""
        return [i for word in _BLANKS.split(text) for i in self.encode_word(word)]

    def encode_word(self, word: str) -> tuple[int, ...]:
        """The ids of a text without blanks; cached."""
        ids = self._cache.get(word)
        if ids is None:
            ids = self._cache[word] = tuple(self._pieces_of_word(word))
        return ids

    def _pieces_of_word(self, word: str) -> Iterator[int]:
        for part in _SPECIAL.split(word):
            if part in self.ids and _SPECIAL.fullmatch(part):
                yield self.ids[part]
                continue
            for token in basic_tokens(part, self.rules):
                yield from greedy_pieces(token, self.ids)


def greedy_pieces(token: str, ids: Mapping[str, int], most_chars: int = MAX_CHARS_PER_WORD) -> list[int]:
    """The ids of the longest pieces from left to right; [UNK] if there are none or the token has more characters."""
    if len(token) > most_chars:
        return [ids[UNK]]
    pieces, start = [], 0
    while start < len(token):
        stop, prefix = len(token), "##" if start else ""
        while stop > start and prefix + token[start:stop] not in ids:
            stop -= 1
        if stop == start:
            return [ids[UNK]]
        pieces.append(ids[prefix + token[start:stop]])
        start = stop
    return pieces
