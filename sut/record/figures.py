"""The figures of a run from its record, for the plots of a sweep and the comparison of a replay.

Each name ends in its unit, so that one flat mapping holds them all.
"""

from __future__ import annotations

from sut.record.run_record import RunRecord

_LABELS = {
    "samples_per_s": "samples/s",
    "peak_qps": "peak, queries/s",
    "f1": "F1",
    "exact_match": "exact match",
    "accuracy": "accuracy, %",
}


def of(record: RunRecord) -> dict[str, float]:
    """All figures of the run: samples_per_s, p99_ms, f1 …

    Offline's latency is that of a sample's batch (batch_p99_ms): LoadGen's is only the duration of its one query.
    """
    found = {
        "samples_per_s": _samples_per_s(record),
        "peak_qps": record.peak.value if record.peak else None,
        **_latencies(record),
        **(record.accuracy.metrics if record.accuracy else {}),
    }
    return {name: value for name, value in found.items() if value is not None}


def _samples_per_s(record: RunRecord) -> float | None:
    """LoadGen's throughput if it has one, else the completed samples over the elapsed time."""
    if record.performance and record.performance.unit == "samples/s":
        return record.performance.value
    return record.progress.samples_per_s if record.progress else None


def _latencies(record: RunRecord) -> dict[str, float]:
    if record.config.scenario == "Offline":
        of_batches = record.batches.batch_latency_ms if record.batches else {}
        return {f"batch_{name}_ms": ms for name, ms in of_batches.items() if name.startswith("p")}
    of_queries = record.performance.latency_ms if record.performance else {}
    return {f"p{float(percentile):g}_ms": ms for percentile, ms in of_queries.items()}


def label(figure: str) -> str:
    """A figure's name with its unit, for people."""
    return _LABELS.get(figure) or f"{figure.removesuffix('_ms').replace('_', ' ')} latency, ms"
