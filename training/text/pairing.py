"""Sentence pairs with masked tokens from articles: create_pretraining_data of the reference, draw by draw.

The plain twin of `native.calls.make`. Sentences of an article follow each other in one array, so a segment is a range
of it, and cutting a token off a segment moves one end. Source: mlcommons/training,
retired_benchmarks/bert/cleanup_scripts/create_pretraining_data.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import NamedTuple

from training.shards.instances import Instances, Row, from_rows
from training.text.articles import Articles
from training.text.recipe import Recipe
from training.text.wordpiece import Tokenizer

_ARTICLE_DRAWS = 10  # for a random next segment from another article


class _Range(NamedTuple):
    start: int
    stop: int

    @property
    def size(self) -> int:
        return self.stop - self.start


class _Pair(NamedTuple):
    first: _Range  # of tokens
    second: _Range
    is_random_next: bool


@dataclass(frozen=True)
class _Maker:
    """A part that is made; the order of methods is that of draws."""

    tokens: list[int]
    sentences: list[int]
    articles: list[_Range]  # of sentences, in shuffled order
    tokenizer: Tokenizer
    recipe: Recipe
    rng: Random

    def rows(self) -> Iterator[Row]:
        for _ in range(self.recipe.dupe_factor):
            for article in range(len(self.articles)):
                for pair in self._pairs(article):
                    yield self._masked(self._truncated(pair))

    def _pairs(self, number: int) -> Iterator[_Pair]:
        """Pairs of an article: a chunk of sentences, split in two, or its first part and a random next one."""
        rng, most = self.rng, self.recipe.max_tokens
        target = rng.randint(2, most) if rng.random() < self.recipe.short_seq_prob else most
        start, end = self.articles[number]
        while start < end:
            stop = self._chunk_end(start, end, target)
            split = start + (rng.randint(1, stop - start - 1) if stop - start > 1 else 1)
            first = self._range(start, split)
            if stop - start == 1 or rng.random() < 0.5:
                yield _Pair(first, self._random_next(number, target - first.size), True)
                start = split  # the rest of the chunk is not used up
            else:
                yield _Pair(first, self._range(split, stop), False)
                start = stop

    def _range(self, start: int, stop: int) -> _Range:
        return _Range(self.sentences[start], self.sentences[stop])

    def _chunk_end(self, start: int, end: int, target: int) -> int:
        """The sentence before which the chunk has `target` tokens, or the article ends."""
        stop = start + 1
        while stop < end and self._range(start, stop).size < target:
            stop += 1
        return stop

    def _random_next(self, number: int, target: int) -> _Range:
        """Sentences from a random one of another article on; of the same article if ten draws find no other."""
        for _ in range(_ARTICLE_DRAWS):
            other = self.rng.randint(0, len(self.articles) - 1)
            if other != number:
                break
        start, end = self.articles[other]
        start += self.rng.randint(0, end - start - 1)
        return self._range(start, self._chunk_end(start, end, target))

    def _truncated(self, pair: _Pair) -> _Pair:
        """Cut tokens off the longer segment, at a random end each, until both fit."""
        (a, a_end), (b, b_end), is_random_next = pair
        while a_end - a + b_end - b > self.recipe.max_tokens:
            is_first, is_front = a_end - a > b_end - b, self.rng.random() < 0.5
            if is_first and is_front:
                a += 1
            elif is_first:
                a_end -= 1
            elif is_front:
                b += 1
            else:
                b_end -= 1
        return _Pair(_Range(a, a_end), _Range(b, b_end), is_random_next)

    def _masked(self, pair: _Pair) -> Row:
        rng, tokenizer = self.rng, self.tokenizer
        first, second = (self.tokens[start:stop] for start, stop in pair[:2])
        tokens = [tokenizer.cls, *first, tokenizer.sep, *second, tokenizer.sep]
        middle = len(first) + 1
        candidates = [*range(1, middle), *range(middle + 1, len(tokens) - 1)]
        rng.shuffle(candidates)
        number = min(self.recipe.max_predictions, max(1, round(len(tokens) * self.recipe.masked_lm_prob)))
        labels = {position: tokens[position] for position in candidates[:number]}
        for position in labels:
            if rng.random() < 0.8:
                tokens[position] = tokenizer.mask
            elif rng.random() >= 0.5:
                tokens[position] = rng.randint(0, len(tokenizer) - 1)
        positions = sorted(labels)
        segments = [0] * (middle + 1) + [1] * (len(second) + 1)
        return Row(tokens, segments, positions, [labels[one] for one in positions], int(pair.is_random_next))


def make(articles: Articles, tokenizer: Tokenizer, recipe: Recipe, rng: Random) -> Instances:
    """The instances of a part, in the reference's order. `rng` goes on to the draws after the last instance."""
    bounds = articles.articles.tolist()
    ranges = [_Range(start, stop) for start, stop in pairwise(bounds)]
    rng.shuffle(ranges)
    maker = _Maker(articles.token_ids.tolist(), articles.sentences.tolist(), ranges, tokenizer, recipe, rng)
    rows = list(maker.rows())
    rng.shuffle(rows)
    return from_rows(rows)
