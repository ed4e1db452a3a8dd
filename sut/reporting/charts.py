"""The charts of a report but latency's, as plotly's traces and axes: plain data, which a browser draws.

Each is computed from `timeline`, `batches` and `result` of run.json. Text in a trace may have markup in plotly,
so names are escaped.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate

from sut.record.run_record import RunRecord
from sut.record.timeline import LengthBin, Timeline
from sut.reporting.model import Chart
from sut.reporting.traces import axis, lines, names

_MOST_INSTANCES = 64  # rows of a map


def over_time(labels: Sequence[str], runs: Sequence[RunRecord]) -> list[Chart]:
    """Throughput, and the samples that wait or compute."""
    known = _with_timeline(labels, runs)
    if not known:
        return []
    rates = [
        lines(
            label, number, _mid_times(one), [count / one.interval_s for count in one.answered], line={"dash": "solid"}
        )
        for label, number, one in known
    ]
    queues = [lines(label, number, _end_times(one), _outstanding(one)) for label, number, one in known]
    x = axis("seconds since the first query")
    return [
        Chart(
            title="Throughput",
            about="Samples answered per second, in intervals of the timed window",
            traces=rates,
            layout={"xaxis": x, "yaxis": axis("samples/s", rangemode="tozero")},
        ),
        Chart(
            title="Queue",
            about="Samples that were issued and not answered yet: waiting or being computed",
            traces=queues,
            layout={"xaxis": x, "yaxis": axis("samples", rangemode="tozero")},
        ),
    ]


def _with_timeline(labels: Sequence[str], runs: Sequence[RunRecord]) -> list[tuple[str, int, Timeline]]:
    pairs = enumerate(zip(names(labels), runs, strict=True))
    return [(label, number, record.timeline) for number, (label, record) in pairs if record.timeline]


def _mid_times(one: Timeline) -> list[float]:
    return [one.interval_s * (number + 0.5) for number in range(len(one.answered))]


def _end_times(one: Timeline) -> list[float]:
    return [one.interval_s * (number + 1) for number in range(len(one.answered))]


def _outstanding(one: Timeline) -> list[int]:
    return [
        issued - answered for issued, answered in zip(accumulate(one.issued), accumulate(one.answered), strict=True)
    ]


def batches(labels: Sequence[str], runs: Sequence[RunRecord]) -> list[Chart]:
    """Samples, time and padding by the length of the samples."""
    known = _with_timeline(labels, runs)
    if not known:
        return []
    measures: tuple[tuple[str, str, str, Callable[[LengthBin], float]], ...] = (
        ("Samples by length", "Mean tokens of a sample in its batch", "samples", lambda one: one.samples),
        ("Time by length", "Instance time per sample", "ms a sample", lambda one: 1e3 * one.busy_s / one.samples),
        ("Padding by length", "Share of the computed tokens that are no sample's", "% of tokens", _padding),
    )
    if not any(_padding(one) for *_, found in known for one in found.lengths):
        measures = measures[:-1]
    return [
        Chart(
            title=title,
            about=about,
            traces=[
                {
                    "type": "bar",
                    "name": label,
                    "run": number,
                    "x": [one.longest for one in found.lengths],
                    "y": [measure(one) for one in found.lengths],
                }
                for label, number, found in known
            ],
            layout={"xaxis": axis("tokens, up to"), "yaxis": axis(unit, rangemode="tozero"), "barmode": "group"},
            height=260,
        )
        for title, about, unit, measure in measures
    ]


def _padding(one: LengthBin) -> float:
    return 100 * (1 - one.tokens / one.computed_tokens) if one.computed_tokens else 0.0


def instances(labels: Sequence[str], runs: Sequence[RunRecord]) -> list[Chart]:
    """A map for each run: an instance a row, its colour the share of an interval in which it computed."""
    return [_busy_map(label, one) for label, _, one in _with_timeline(labels, runs)]


def _busy_map(label: str, one: Timeline) -> Chart:
    shown = one.instances[:_MOST_INSTANCES]
    more = f"; the first {_MOST_INSTANCES} of {len(one.instances):,}" if len(one.instances) > len(shown) else ""
    return Chart(
        title=f"When instances computed: {html.unescape(label)}",
        about=f"Share of each interval inside batches; pale: idle{more}",
        traces=[
            {
                "type": "heatmap",
                "map": True,
                "x": _mid_times(one),
                "y": [f"{number}" for number in range(len(shown))],
                "z": [[100 * share for share in instance.busy] for instance in shown],
                "zmin": 0,
                "zmax": 100,
                "ygap": 2,
                "hovertemplate": "instance %{y}, %{x:.2f} s: %{z:.0f} % busy<extra></extra>",
                "colorbar": {"title": {"text": "busy, %", "side": "right"}, "thickness": 10, "outlinewidth": 0},
            }
        ],
        layout={
            "xaxis": axis("seconds since the first query"),
            "yaxis": axis("instance", type="category", autorange="reversed", showgrid=False),
        },
        height=128 + max(44, min(480, 22 * len(shown))),
        is_wide=True,
    )


def search(labels: Sequence[str], runs: Sequence[RunRecord]) -> list[Chart]:
    """The probes of a search for the peak."""
    traces = []
    for number, (label, record) in enumerate(zip(names(labels), runs, strict=True)):
        probes = [one for one in (record.peak.probes if record.peak else ()) if one.p99_ms is not None]
        for valid, symbol in ((True, "circle"), (False, "x-thin-open")):
            chosen = [one for one in probes if one.valid is valid]
            words = f"{label}: {'valid' if valid else 'invalid'}"
            points = lines(words, number, [one.target_qps for one in chosen], [one.p99_ms or 0.0 for one in chosen])
            if chosen:
                traces.append({**points, "mode": "markers", "marker": {"size": 10, "symbol": symbol}})
    if not traces:
        return []
    layout = {"xaxis": axis("target_qps, queries/s"), "yaxis": axis("99th percentile, ms", type="log")}
    about = "Each probe's rate and latency"
    return [Chart(title="Search for the peak", about=about, traces=traces, layout=layout)]


def errors(labels: Sequence[str], groups: Sequence[Mapping[str, tuple[int, float]]], title: str) -> Chart:
    """The lost share of the score by group: for each run {group: (questions, mean score)}."""
    traces = [
        {
            "type": "bar",
            "name": label,
            "run": number,
            "x": names(list(found)),
            "y": [100 * (1 - mean) for _, mean in found.values()],
            "customdata": [count for count, _ in found.values()],
            "hovertemplate": "%{y:.2f} % of %{customdata:,}",
        }
        for number, (label, found) in enumerate(zip(names(labels), groups, strict=True))
        if found
    ]
    layout = {"yaxis": axis("lost, %", rangemode="tozero"), "xaxis": {"type": "category"}, "barmode": "group"}
    about = "Lost score: 100 % less the mean over the answered questions"
    return Chart(title=title, about=about, traces=traces, layout=layout, height=280)
