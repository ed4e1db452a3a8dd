"""The charts of latency, from `timeline.latency`, `result` and `plan` of run.json."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

from sut.record.run_record import RunRecord
from sut.record.timeline import LatencyHistogram
from sut.reporting.model import Chart
from sut.reporting.traces import Trace, axis, lines, log_ticks, names


def latency(labels: Sequence[str], runs: Sequence[RunRecord]) -> list[Chart]:
    """The distribution function, with LoadGen's percentiles and the target, and the histogram."""
    known = [
        (label, number, record.timeline.latency)
        for number, (label, record) in enumerate(zip(names(labels), runs, strict=True))
        if record.timeline and record.timeline.latency and record.config.scenario != "Offline"
    ]
    if not known:
        return []
    across = axis("latency, ms", type="log", **log_ticks())
    target = _target(runs)
    cdf = [_cdf(*one) for one in known]
    cdf += [trace for number, record in enumerate(runs) for trace in _percentiles(number, record)]
    histogram = [
        lines(label, number, _middles(found), _shares(found), line={"shape": "hvh", "dash": "solid"}, fill="tozeroy")
        for label, number, found in known
    ]
    return [
        Chart(
            title="How many samples were answered within a time",
            about="Samples by the scheduler's clock, from their issue; points: LoadGen's percentiles, which count from "
            "the time that it had scheduled; dashed: the target latency",
            traces=cdf,
            layout={"xaxis": across, "yaxis": axis("samples, %", range=[0, 101]), **target},
        ),
        Chart(
            title="Histogram of latency",
            about="Share of the samples in each of 100 intervals, which grow by a constant factor",
            traces=histogram,
            layout={"xaxis": across, "yaxis": axis("samples, %", rangemode="tozero"), **target},
        ),
    ]


def _cdf(label: str, number: int, found: LatencyHistogram) -> Trace:
    total = sum(found.counts)
    share = [0.0, *(100 * count / total for count in accumulate(found.counts))]
    return lines(label, number, found.bounds_ms, share)


def _percentiles(number: int, record: RunRecord) -> list[Trace]:
    of_queries = record.performance.latency_ms if record.performance else {}
    if not of_queries or record.config.scenario in ("Offline", "MultiStream"):
        return []
    x, y = list(of_queries.values()), [float(name) for name in of_queries]
    points = lines("LoadGen's percentiles", number, x, y, mode="markers", showlegend=False)
    return [{**points, "marker": {"size": 8, "symbol": "circle-open", "line": {"width": 2}}}]


def _target(runs: Sequence[RunRecord]) -> dict[str, Any]:
    targets = sorted({record.plan.target_latency_s for record in runs if record.plan and record.plan.target_latency_s})
    line = {"type": "line", "yref": "paper", "y0": 0, "y1": 1, "line": {"dash": "dash", "width": 1.5}}
    return {"shapes": [{**line, "x0": 1e3 * one, "x1": 1e3 * one} for one in targets]} if targets else {}


def _middles(found: LatencyHistogram) -> list[float]:
    return [(low * high) ** 0.5 for low, high in pairwise(found.bounds_ms)]


def _shares(found: LatencyHistogram) -> list[float]:
    total = sum(found.counts)
    return [100 * count / total for count in found.counts]
