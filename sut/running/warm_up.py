"""The sizes of a run's batches for warm-up, and the number of queries of `--steps`.

Warm-up runs batches like those of the scenario. A step is a typical batch of an instance, so `--steps` means the
same in every scenario, whatever LoadGen counts there.
"""

from __future__ import annotations

import numpy as np

from foundation.rules import SCENARIOS
from qsl.base import Features
from sut.settings.settings import RunConfig

Shapes = tuple[tuple[int, int], ...]
_MOST_SAMPLES = 4096  # of a warm-up batch, if the data set has fewer: a batch size may be any number
_STREAM_SAMPLES = SCENARIOS["MultiStream"].samples_per_query


def warm_up_shapes(config: RunConfig, features: Features) -> Shapes:
    """(samples, length) of the scenario's batches: with the longest samples, then a typical one, which is timed.

    Before these, in Server, the smallest: a single sample, when the queue is short.
    """
    longest, typical = int(features.lengths.max()), int(np.median(features.lengths))
    batch_size = min(config.batch_size or len(features), max(len(features), _MOST_SAMPLES))
    at_most = min({"SingleStream": 1, "MultiStream": _STREAM_SAMPLES}.get(config.scenario, batch_size), batch_size)
    largest = tuple((max(1, min(config.batch_tokens // length, at_most)), length) for length in (longest, typical))
    return ((1, typical), *largest) if config.scenario == "Server" else largest


def queries(config: RunConfig, shapes: Shapes, instances: int) -> int | None:
    """The minimum number of queries of a test run: those of --steps on every instance, else as given."""
    if config.steps is None:
        return config.test_query_count
    samples = config.steps * shapes[-1][0] * instances
    return -(-samples // (_STREAM_SAMPLES if config.scenario == "MultiStream" else 1))
