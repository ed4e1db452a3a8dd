"""The charts of time by part: of the instances, and of a sample. From `batches` and `result` of run.json.

An engine is one part: what it does inside a batch is not recorded, since timing its parts would slow it down.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sut.record.run_record import RunRecord
from sut.reporting.model import Chart
from sut.reporting.traces import axis, names

PARTS = ("inside the engine", "in the instance, around the engine", "idle")
SAMPLE_PARTS = (*PARTS[:2], "waiting")


def of_instances(labels: Sequence[str], runs: Sequence[RunRecord]) -> list[Chart]:
    """Where the time of the instances went, in percent of instances × window."""
    shares = [(label, [100 * one for one in shares_of(record)]) for label, record in zip(labels, runs, strict=True)]
    return _stacked(
        "Where the time of the instances went",
        "Share of all instances' time in the timed window",
        axis("% of the instances' time", range=[0, 100]),
        PARTS,
        shares,
    )


def of_samples(labels: Sequence[str], runs: Sequence[RunRecord]) -> list[Chart]:
    """Where the latency of a sample went, in ms."""
    times = [(label, times_ms_of(record)) for label, record in zip(labels, runs, strict=True)]
    return _stacked(
        "Where the time of a sample went",
        "Mean over the samples, from the issue that LoadGen counts from to the answer; a sample has the time of its "
        "batch",
        axis("ms", rangemode="tozero"),
        SAMPLE_PARTS,
        times,
    )


def _stacked(
    title: str, about: str, x: Mapping[str, Any], parts: Sequence[str], found: Sequence[tuple[str, Sequence[float]]]
) -> list[Chart]:
    """A bar for each run that has values, of one piece for each part; no chart without any."""
    known = [(label, values) for label, values in found if values]
    traces = [
        {
            "type": "bar",
            "orientation": "h",
            "name": part,
            "part": number,
            "y": names([label for label, _ in known]),
            "x": [values[number] for _, values in known],
            "hovertemplate": "%{x:,.4~r}",
        }
        for number, part in enumerate(parts)
    ]
    layout = {
        "barmode": "stack",
        "legend": {"traceorder": "normal"},
        "xaxis": x,
        "yaxis": {"type": "category", "automargin": True, "autorange": "reversed", "showgrid": False},
    }
    chart = Chart(title=title, about=about, traces=traces, layout=layout, height=140 + 34 * len(known), is_wide=True)
    return [chart] if known else []


def shares_of(record: RunRecord) -> tuple[float, ...]:
    """Engine, the rest of a batch, idle: they add up to 1. Empty without batches."""
    found = record.batches
    total = found.window_s * len(found.instances) if found else 0.0
    if found is None or total <= 0 or not found.batches:
        return ()
    engine, around = found.engine_s / total, (found.busy_s - found.engine_s) / total
    return engine, around, max(0.0, 1 - engine - around)


def times_ms_of(record: RunRecord) -> tuple[float, ...]:
    """Engine, the rest of a batch, the wait before it: they add up to LoadGen's mean latency.

    Empty if a query is not a sample, and without the means.
    """
    mean_ms = record.performance.latency_range_ms.get("mean") if record.performance else None
    if record.batches is None or mean_ms is None or record.config.scenario not in ("Server", "SingleStream"):
        return ()
    batch_ms, engine_ms = (
        one.get("mean") for one in (record.batches.batch_latency_ms, record.batches.engine_latency_ms)
    )
    if batch_ms is None or engine_ms is None:
        return ()
    return engine_ms, batch_ms - engine_ms, max(0.0, mean_ms - batch_ms)
