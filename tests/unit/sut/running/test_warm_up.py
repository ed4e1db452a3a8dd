"""The batches of a warm-up are those of the scenario; the last one, which is timed, is a typical one."""

from __future__ import annotations

import numpy as np
import pytest

from qsl.base import Features
from sut.running.warm_up import Shapes, warm_up_shapes
from sut.settings.resolve import resolve


@pytest.mark.parametrize(
    ("given", "shapes"),
    [
        ({"scenario": "Offline"}, ((10, 100), (50, 20))),
        ({"scenario": "Server"}, ((1, 20), (10, 100), (50, 20))),
        ({"scenario": "Server", "batch_size": 1}, ((1, 20), (1, 100), (1, 20))),
        ({"scenario": "SingleStream"}, ((1, 100), (1, 20))),
        ({"scenario": "MultiStream"}, ((8, 100), (8, 20))),
        ({"scenario": "Offline", "batch_size": 3}, ((3, 100), (3, 20))),
    ],
)
def test_shapes(given: dict[str, str | int], shapes: Shapes) -> None:
    offsets = np.cumsum([0, 100, *[20] * 60])
    ids = np.zeros(offsets[-1], np.int32)
    features = Features(ids, ids, offsets)
    assert warm_up_shapes(resolve({"max_batch_tokens": 1000, **given}), features) == shapes
