"""Seeded random choices that are the same on every Python version and machine.

Python guarantees a stable stream only for `random.Random.random()`, so choices, samples and shuffles are built on it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Draw:
    """A stream of random choices, determined by a seed."""

    def __init__(self, seed: int) -> None:
        self.fraction = random.Random(seed).random  # noqa: S311 - data, no secret

    def below(self, end: int) -> int:
        """An integer from 0 to `end` - 1."""
        return int(self.fraction() * end)

    def between(self, low: int, high: int) -> int:
        """An integer from `low` to `high`, both included."""
        return low + self.below(high - low + 1)

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self.fraction() < probability

    def pick(self, items: Sequence[T]) -> T:
        """One of the items."""
        return items[self.below(len(items))]

    def sample(self, items: Sequence[T], count: int) -> list[T]:
        """`count` different items (all of them if there are fewer) in random order."""
        left = list(items)
        return [left.pop(self.below(len(left))) for _ in range(min(count, len(left)))]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """All items in random order."""
        return self.sample(items, len(items))
