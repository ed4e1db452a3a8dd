"""Which of the evaluation samples are evaluated: two definitions are in use, and their samples differ.

MLPerf's reference picks evenly from all instances made of the evaluation text; NVIDIA and FlagPerf take the first ones.
Both draw from the same shuffled instances, so that accuracies agree, but not to the last digit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from foundation.arrays import Int64
from training.shards.errors import ShardError

SAMPLES = 10_000  # MLPerf's number


def _evenly(instances: int, samples: int) -> list[int]:
    ratio = instances / samples  # as the reference rounds it: a quotient of whole numbers differs at times
    return [int(number * ratio) for number in range(samples)]


def _first(_: int, samples: int) -> list[int]:
    return list(range(samples))


# Name → the rows of so many samples.
DEFINITIONS: Mapping[str, Callable[[int, int], list[int]]] = {"reference": _evenly, "first": _first}


def rows(definition: str, instances: int, samples: int = SAMPLES) -> Int64:
    """The rows of the evaluation samples among all instances, [samples].

    Args:
        definition: "reference" or "first".

    Raises:
        ShardError: there are fewer instances.
    """
    if not 0 < samples <= instances:
        raise ShardError(
            f"expected 1 to {instances:,} evaluation samples of {instances:,} instances, found {samples:,}"
        )
    return np.array(DEFINITIONS[definition](instances, samples), np.int64)


def in_words(definition: str, instances: int, samples: int = SAMPLES) -> str:
    """The definition for a data set's metadata."""
    how = {"reference": "evenly spread over", "first": "the first of"}[definition]
    return f"{samples} samples, {how} {instances} ({definition})"
