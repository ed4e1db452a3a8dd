"""The reference's tokenizer for pre-training data, which differs from that of its inference benchmark in three rules.

Text in brackets such as [MASK] is split like other text; characters without a meaning (unassigned, for private use)
are kept; a word is unknown from 201 characters on. The rest is `qsl.wordpiece`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from qsl import tokenizer_files
from qsl.base import DatasetError
from qsl.data_file import DataFile
from qsl.tokenizer_files import SPECIAL, TextRules
from qsl.wordpiece import basic_tokens, greedy_pieces
from training.text.errors import TextError

MOST_CHARS = 200  # of a word
_DROPPED = ("Cc", "Cf")
_MOST_WORDS = 1 << 20  # in the cache


class Tokenizer:
    """A vocabulary with the rules for pre-training text.

    Args:
        source: vocab.txt or tokenizer.json.
        is_cased: whether case and accents count; None: as the vocabulary's files say.

    Raises:
        TextError: the file is no vocabulary, lacks a special token, or has one token twice.
    """

    def __init__(self, source: Path, is_cased: bool | None = None) -> None:
        file = DataFile(source, tokenizer_files.KIND, "--vocab")
        try:
            found = tokenizer_files.read(file)
        except DatasetError as error:
            raise TextError(str(error)) from error
        self.path, self.sha256, self.tokens = source, file.sha256, found.tokens
        stated = found.rules if is_cased is None else TextRules(lowercase=not is_cased, strip_accents=not is_cased)
        self.rules = replace(stated, dropped=_DROPPED)
        self.ids = {token: number for number, token in enumerate(found.tokens)}
        self._check()
        self.unknown, self.cls, self.sep, self.mask = (self.ids[token] for token in SPECIAL[1:])
        self._words: dict[str, list[int]] = {}

    def __len__(self) -> int:
        """Number of tokens in the vocabulary."""
        return len(self.tokens)

    def encode_word(self, word: str) -> list[int]:
        """The ids of the pieces of a text without ASCII blanks; none if every character of it is dropped."""
        ids = self._words.get(word)
        if ids is None:
            if len(self._words) >= _MOST_WORDS:
                self._words.clear()
            parts = basic_tokens(word, self.rules)
            ids = [number for part in parts for number in greedy_pieces(part, self.ids, MOST_CHARS)]
            self._words[word] = ids
        return ids

    def _check(self) -> None:
        """The reference strips tokens and counts each once: a token that is there twice would move all ids after it."""
        missing = [token for token in SPECIAL if token not in self.ids]
        if missing:
            raise TextError(
                f"expected a vocabulary with {', '.join(SPECIAL)} at {self.path}, found {len(self.tokens):,} tokens "
                f"without {', '.join(missing)}. Type: --vocab FILE of the model that is to be trained."
            )
        seen: set[str] = set()
        for number, token in enumerate(token.strip() for token in self.tokens):
            if token in seen:
                raise TextError(
                    f"expected each token once in the vocabulary {self.path}, found {token!a} again in line "
                    f"{number + 1}. Type: --vocab FILE of the model that is to be trained."
                )
            seen.add(token)
