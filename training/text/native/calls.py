"""The calls of the library: what its twins, `articles.encode` and `pairing.make`, do, with the same results."""

from __future__ import annotations

import ctypes
from itertools import accumulate, chain
from random import Random
from typing import Any
from weakref import WeakKeyDictionary, finalize

import numpy as np

from training.shards.instances import Instances
from training.text.articles import Articles
from training.text.native import library as c
from training.text.recipe import Recipe
from training.text.wordpiece import MOST_CHARS, Tokenizer

_MOST_SHORT_IDS = 1 << 16


class _Words:
    """A tokenizer's handle, which keeps the words that it has seen."""

    def __init__(self, library: ctypes.CDLL, tokenizer: Tokenizer) -> None:
        tokens = [token.encode(errors="surrogatepass") for token in tokenizer.tokens]
        ends = np.fromiter(accumulate(map(len, tokens)), np.int64, len(tokens))
        stated = tokenizer.rules
        rules = c.Rules(tokenizer.unknown, stated.lowercase, stated.split_chinese, MOST_CHARS)
        self.handle = library.text_words(b"".join(tokens), ends.ctypes.data, len(tokens), ctypes.byref(rules))
        if not self.handle:
            raise MemoryError
        finalize(self, library.text_words_free, self.handle)


_words: WeakKeyDictionary[Tokenizer, _Words] = WeakKeyDictionary()


def encode(content: bytes, tokenizer: Tokenizer) -> Articles:
    """The articles of a text in UTF-8, which the caller has checked."""
    library = _library()
    words = _words.pop(tokenizer, None) or _Words(library, tokenizer)
    number = library.text_words_scan(words.handle, content, len(content))
    if number < 0:
        raise MemoryError
    bounds = np.empty((number, 2), np.int64)
    library.text_words_pending(words.handle, bounds.ctypes.data)
    found = [tokenizer.encode_word(content[start:stop].decode()) for start, stop in bounds.tolist()]
    pieces = np.fromiter(chain.from_iterable(found), np.int32)
    ends = np.fromiter(accumulate(map(len, found)), np.int64, number)
    counts = np.empty(3, np.int64)
    if not library.text_words_define(words.handle, pieces.ctypes.data, ends.ctypes.data, counts.ctypes.data):
        raise MemoryError
    articles = Articles(np.empty(counts[0], np.int32), np.empty(counts[1], np.int64), np.empty(counts[2], np.int64))
    arrays = (articles.token_ids, articles.sentences, articles.articles)
    library.text_words_collect(words.handle, *(array.ctypes.data for array in arrays))
    _words[tokenizer] = words  # only now: one that was interrupted has words without pieces
    return articles


def make(articles: Articles, tokenizer: Tokenizer, recipe: Recipe, rng: Random) -> Instances:
    """The instances of a part; `rng` goes on to the draws after the last instance."""
    library = _library()
    version, internal, gauss = rng.getstate()
    state = np.array(internal, np.uint32)
    numbers = c.Recipe(
        *(recipe.max_tokens, recipe.max_predictions, recipe.dupe_factor, len(tokenizer)),
        *(recipe.short_seq_prob, recipe.masked_lm_prob),
        *(tokenizer.cls, tokenizer.sep, tokenizer.mask),
    )
    pointers = (array.ctypes.data for array in (state, articles.token_ids, articles.sentences, articles.articles))
    made = library.text_make(*pointers, len(articles), ctypes.byref(numbers))
    if not made:
        raise MemoryError
    try:
        instances = _collected(library, made, np.uint16 if len(tokenizer) <= _MOST_SHORT_IDS else np.int32)
    finally:
        library.text_made_free(made)
    rng.setstate((version, tuple(state.tolist()), gauss))
    return instances


def _collected(library: ctypes.CDLL, made: int, ids: type[np.uint16] | type[np.int32]) -> Instances:
    counts = np.empty(3, np.int64)
    library.text_made_counts(made, counts.ctypes.data)
    number, tokens, masked = counts.tolist()
    arrays: dict[str, Any] = {
        "token_ids": np.empty(tokens, ids),
        "offsets": np.empty(number + 1, np.int64),
        "first_lengths": np.empty(number, np.int32),
        "masked_positions": np.empty(masked, np.uint16),
        "masked_ids": np.empty(masked, ids),
        "masked_offsets": np.empty(number + 1, np.int64),
        "is_random_next": np.empty(number, np.uint8),
    }
    library.text_made_collect(made, *(array.ctypes.data for array in arrays.values()))  # in this order
    return Instances(**arrays)


def _library() -> ctypes.CDLL:
    found = c.find()
    if found is None:
        raise OSError("training.text.native._text_portable was not built")
    return found
