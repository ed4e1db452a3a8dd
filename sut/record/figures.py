"""The figures of a run, read back from its run.json: what a sweep draws and a replay compares.

Each has a name that ends in its unit, so that one flat mapping holds them all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_LABELS = {
    "samples_per_s": "samples/s",
    "peak_qps": "peak, queries/s",
    "f1": "F1",
    "exact_match": "exact match",
    "accuracy": "accuracy, %",
}


def of(record: Mapping[str, Any]) -> dict[str, float]:
    """Every figure of a run.json, by a name that ends in its unit: samples_per_s, p99_ms, f1 …

    Offline's latency is that of a sample's batch (batch_p99_ms): LoadGen's says how long ago the one query was issued.
    """
    result, progress = record.get("result") or {}, record.get("progress") or {}
    seconds = progress.get("last_answer_s", 0.0) - progress.get("first_issue_s", 0.0)
    found: dict[str, Any] = {"samples_per_s": progress["completed"] / seconds if seconds > 0 else None}
    if result.get("unit") == "samples/s":
        found["samples_per_s"] = result.get("value")
    if result.get("unit") == "queries/s":
        found["peak_qps"] = result.get("value")
    if (record.get("config") or {}).get("scenario") == "Offline":
        of_batches = (record.get("batches") or {}).get("batch_latency_ms") or {}
        found |= {f"batch_{name}_ms": ms for name, ms in of_batches.items() if name.startswith("p")}
    else:
        found |= {f"p{float(p):g}_ms": ms for p, ms in (result.get("latency_ms") or {}).items()}
    found |= {name: result.get(name) for name in ("exact_match", "f1", "accuracy")}
    return {name: float(value) for name, value in found.items() if value is not None}


def label(figure: str) -> str:
    """A figure's name with its unit, as people write it."""
    return _LABELS.get(figure) or f"{figure.removesuffix('_ms').replace('_', ' ')} latency, ms"


def number(value: float) -> str:
    """Four digits, or all of them before the point."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
