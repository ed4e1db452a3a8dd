"""How large a run's batches are, and how many queries so many of them make.

Warm-up runs the batches that the scenario will bring, and a step is the typical one of them: `--steps` means the same
in every scenario, batches of an instance, whatever LoadGen counts there.
"""

from __future__ import annotations

import numpy as np

from foundation.rules import SCENARIOS
from qsl.base import Features
from sut.settings.settings import RunConfig

Shapes = tuple[tuple[int, int], ...]
_STREAM_SAMPLES = SCENARIOS["MultiStream"].samples_per_query


def warm_up_shapes(config: RunConfig, features: Features) -> Shapes:
    """(samples, length) of the batches that the scenario brings: the longest, then the typical, which is timed."""
    longest, typical = int(features.lengths.max()), int(np.median(features.lengths))
    asked = config.batch_size or len(features)
    most = min({"SingleStream": 1, "MultiStream": _STREAM_SAMPLES}.get(config.scenario, asked), asked)
    return tuple((max(1, min(config.batch_tokens // length, most)), length) for length in (longest, typical))


def queries(config: RunConfig, shapes: Shapes, instances: int) -> int | None:
    """What LoadGen is to issue at least, in a test run: the steps' batches on every instance, else as asked for."""
    if config.steps is None:
        return config.test_query_count
    samples = config.steps * shapes[-1][0] * instances
    return -(-samples // (_STREAM_SAMPLES if config.scenario == "MultiStream" else 1))
