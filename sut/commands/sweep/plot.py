"""sweep.png: speed, latency and F1 over the first swept setting, with a line for each value of the others.

Matplotlib belongs to the extra `plot` and is imported only here, when there is something to draw.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sut.commands.sweep import table
from sut.commands.sweep.grid import Axis, is_geometric, is_number, shown
from sut.commands.sweep.summary import FigureStatistics, PointSummary
from sut.record.figures import label

NAME = "sweep.png"
_PANEL_INCHES, _HEIGHT_INCHES, _DPI = 6.2, 4.9, 150
_HIGHEST = 99  # percentile; higher ones depend more on hiccups of the machine than on a setting
_MOST_TICKS = 16
_OFFSET = 0.07  # offset between the lines at a category
_MARKERS = "osD^vP*X"
_COLOURS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#E69F00",
    "#000000",
)  # distinguishable with colour blindness
# The unit of a setting, by the suffix of its name.
_UNITS = {"_tokens": "tokens", "_ms": "ms", "_s": "s", "_qps": "queries/s", "_size": "samples", "threads": "threads"}


def draw(summaries: Sequence[PointSummary], axes: Sequence[Axis], heading: str, path: Path) -> None:
    """Write the plot as PNG.

    Raises:
        ImportError: matplotlib is not installed.
    """
    from matplotlib.figure import Figure as Canvas

    figures = panels(summaries)
    canvas = Canvas(figsize=(max(_PANEL_INCHES * len(figures), 7.5), _HEIGHT_INCHES), dpi=_DPI, layout="constrained")
    repeats = max((one.runs for one in summaries), default=1)
    below = f"median and lowest – highest of {repeats} runs" if repeats > 1 else "one run each"
    if not all(one.is_sure for one in summaries):
        below += "; hollow: a run was invalid or failed"
    canvas.suptitle("\n".join([heading, below, *table.notices(summaries)]), fontsize=10)
    for number, (name, panel) in enumerate(
        zip(figures, canvas.subplots(1, len(figures), squeeze=False)[0], strict=True)
    ):
        _panel(panel, name, summaries, axes)
        if number == 0 and len(axes) > 1:
            panel.legend(title=", ".join(axis.field for axis in axes[1:]), fontsize=8, title_fontsize=8)
    canvas.savefig(path)


def panels(summaries: Sequence[PointSummary]) -> list[str]:
    """The figures that get a panel: of the latencies only the highest percentile to the 99th that all have."""
    names = [set(one.figures) for one in summaries if one.figures]
    every = set.intersection(*names) if names else set()
    some = set.union(*names) if names else set()
    found = [match for name in every if (match := re.fullmatch(r"(?:batch_)?p([\d.]+)_ms", name))]
    latencies = [match[0] for match in sorted(found, key=lambda match: float(match[1])) if float(match[1]) <= _HIGHEST]
    return [
        *(name for name in ("samples_per_s", "peak_qps") if name in some),
        *latencies[-1:],
        *(name for name in ("f1", "accuracy") if name in some),
    ]


def _panel(panel: Any, name: str, summaries: Sequence[PointSummary], axes: Sequence[Axis]) -> None:
    first, offset = axes[0], 0.0 if _are_numbers(axes[0].values) else _OFFSET
    ticks = dict(zip(first.values, _ticks(first), strict=True))
    for number, others in enumerate(itertools.product(*(axis.values for axis in axes[1:]))):
        rest = dict(zip([axis.field for axis in axes[1:]], others, strict=True))
        of_line = [one for one in summaries if name in one.figures and rest.items() <= one.point.items()]
        positions = [ticks[one.point[first.field]] + offset * number for one in of_line]
        _line(panel, positions, of_line, name, number, ", ".join(map(shown, others)), "" if offset else "-")
    _below(panel, first, list(ticks.values()))
    panel.set_ylabel(label(name))
    panel.set_ylim(bottom=0)
    panel.yaxis.set_major_formatter("{x:,.4g}" if panel.get_ylim()[1] < 1000 else "{x:,.0f}")
    panel.grid(alpha=0.3)
    panel.spines[["top", "right"]].set_visible(False)


def _below(panel: Any, axis: Axis, ticks: list[float]) -> None:
    """Set up the horizontal axis: logarithmic for a geometric range, with the values as ticks."""
    if is_geometric(axis.values):
        panel.set_xscale("log", base=2)
    if len(ticks) <= _MOST_TICKS or not _are_numbers(axis.values):
        long = sum(len(str(value)) for value in axis.values) > 40
        panel.set_xticks(ticks, [shown(value) for value in axis.values], rotation=30 if long else 0)
        panel.minorticks_off()
    unit = next((f", in {unit}" for ending, unit in _UNITS.items() if axis.field.endswith(ending)), "")
    panel.set_xlabel(axis.field + unit)


def _line(
    panel: Any, positions: list[float], of_line: list[PointSummary], name: str, number: int, title: str, style: str
) -> None:
    found: list[FigureStatistics] = [one.figures[name] for one in of_line]
    medians = [one.median for one in found]
    spread = [[one.median - one.lowest for one in found], [one.highest - one.median for one in found]]
    colour, marker = _COLOURS[number % len(_COLOURS)], _MARKERS[number % len(_MARKERS)]
    panel.errorbar(positions, medians, spread, color=colour, marker=marker, capsize=4, label=title, linestyle=style)
    doubtful = [(at, one.figures[name].median) for at, one in zip(positions, of_line, strict=True) if not one.is_sure]
    if doubtful:
        panel.plot(
            *zip(*doubtful, strict=True), linestyle="", marker=marker, color=colour, markerfacecolor="white", zorder=5
        )


def _ticks(axis: Axis) -> list[float]:
    """Positions of the values: numbers at their values, words evenly spaced."""
    if _are_numbers(axis.values):
        return [float(value) for value in axis.values]
    return [float(number) for number in range(len(axis.values))]


def _are_numbers(values: Sequence[object]) -> bool:
    return all(is_number(value) for value in values)
