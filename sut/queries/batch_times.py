"""The time of every batch in its instance, and percentiles over samples.

A sample's latency here is its batch's time in the instance, without the wait in a queue, which LoadGen's latency
includes. Seven numbers are kept per batch and one per sample, in arrays, so recording adds no latency.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from foundation.arrays import Float64, Int64
from sut.record.measurements import Batches, Work

PERCENTILES = (50.0, 90.0, 95.0, 99.0, 99.9)


@dataclass(frozen=True, kw_only=True)
class BatchColumns:
    """The recorded batches, an entry each; `latency_s` has one for each sample, in the order of the batches."""

    instance: Int64
    samples: Int64
    tokens: Int64
    computed_tokens: Int64
    batch_s: Float64  # in the instance
    engine_s: Float64  # of that, inside the engine
    answered_s: Float64  # time.perf_counter()
    latency_s: Float64  # from a sample's issue to its answer; empty if issues are not known


class BatchTimes:
    """One row per batch. Written by the executor's thread, read after the run."""

    def __init__(self) -> None:
        self._instance, self._samples = array("i"), array("i")
        self._tokens, self._computed_tokens = array("q"), array("q")
        self._batch_s, self._engine_s, self._answered_s = array("f"), array("f"), array("d")
        self._latency_s = array("f")

    def add(
        self,
        instance: int,
        samples: int,
        batch_s: float,
        engine_s: float,
        *,
        tokens: int = 0,
        computed_tokens: int = 0,
        answered_s: float = 0.0,
        issued_s: Float64 | None = None,
    ) -> None:
        """Record a batch: its instance, its samples, its seconds in the instance and those inside the engine.

        Args:
            tokens, computed_tokens: of its samples, and of what the engine computed for them.
            answered_s: time.perf_counter() of its answer.
            issued_s: likewise of the issue of each of its samples, float64 [samples].
        """
        self._instance.append(instance)
        self._samples.append(samples)
        self._tokens.append(tokens)
        self._computed_tokens.append(computed_tokens)
        self._batch_s.append(batch_s)
        self._engine_s.append(engine_s)
        self._answered_s.append(answered_s)
        if issued_s is not None:
            self._latency_s.frombytes((answered_s - issued_s).astype(np.float32).tobytes())

    def columns(self) -> BatchColumns:
        """What was recorded, as arrays."""
        return BatchColumns(
            instance=np.array(self._instance, np.int64),
            samples=np.array(self._samples, np.int64),
            tokens=np.array(self._tokens, np.int64),
            computed_tokens=np.array(self._computed_tokens, np.int64),
            batch_s=np.array(self._batch_s, np.float64),
            engine_s=np.array(self._engine_s, np.float64),
            answered_s=np.array(self._answered_s, np.float64),
            latency_s=np.array(self._latency_s, np.float64),
        )

    def facts(self, instances: int, window_s: float) -> Batches:
        """Latencies over all samples of all instances in ms, and what each instance did in `window_s`."""
        columns = self.columns()
        number, samples, batch_s, engine_s = columns.instance, columns.samples, columns.batch_s, columns.engine_s

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
