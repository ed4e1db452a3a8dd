"""The time of every batch in its instance, and percentiles over samples.

A sample's latency here is its batch's time in the instance, without the wait in a queue, which LoadGen's latency
includes. Four numbers are kept per batch and none per sample, so recording adds no latency.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import asdict

import numpy as np
import numpy.typing as npt

from sut.record.measurements import Batches, Work

PERCENTILES = (50.0, 90.0, 95.0, 99.0, 99.9)


class BatchTimes:
    """One row per batch. Written by the executor's thread, read after the run."""

    def __init__(self) -> None:
        self._instance, self._samples = array("i"), array("i")
        self._batch_s, self._engine_s = array("f"), array("f")

    def add(self, instance: int, samples: int, batch_s: float, engine_s: float) -> None:
        """Record a batch: its instance, its samples, its seconds in the instance and those inside the engine."""
        self._instance.append(instance)
        self._samples.append(samples)
        self._batch_s.append(batch_s)
        self._engine_s.append(engine_s)

    def facts(self, instances: int, window_s: float) -> Batches:
        """Latencies over all samples of all instances in ms, and what each instance did in `window_s`."""
        number, samples = np.array(self._instance), np.array(self._samples)
        batch_s, engine_s = np.array(self._batch_s, np.float64), np.array(self._engine_s, np.float64)

        def of(chosen: npt.NDArray[np.bool_]) -> Work:
            done = int(samples[chosen].sum())
            return Work(
                batches=int(chosen.sum()),
                samples=done,
                samples_per_s=done / max(window_s, 1e-9),
                busy_s=float(batch_s[chosen].sum()),
                engine_s=float(engine_s[chosen].sum()),
            )

        return Batches(
            **asdict(of(np.ones(len(number), bool))),
            window_s=window_s,
            batch_latency_ms=latencies(batch_s * 1e3, samples),
            engine_latency_ms=latencies(engine_s * 1e3, samples),
            instances=tuple(of(number == one) for one in range(instances)),
        )


def latencies(batch_ms: npt.NDArray[np.float64], samples: npt.NDArray[np.integer]) -> Mapping[str, float]:
    """Mean, min, max and percentiles over samples of their batches' times; empty without samples.

    A percentile is the smallest time that this percentage of the samples did not exceed.
    """
    if not len(batch_ms):
        return {}
    order = np.argsort(batch_ms)
    sorted_ms, up_to = batch_ms[order], np.cumsum(samples[order])
    ranks = np.ceil(np.array(PERCENTILES) / 100 * up_to[-1] - 1e-9)
    found = sorted_ms[np.searchsorted(up_to, ranks)]
    return {
        "mean": float((batch_ms * samples).sum() / up_to[-1]),
        "min": float(sorted_ms[0]),
        "max": float(sorted_ms[-1]),
        **{f"p{percentile:g}": float(ms) for percentile, ms in zip(PERCENTILES, found, strict=True)},
    }
