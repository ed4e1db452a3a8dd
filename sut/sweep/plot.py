"""sweep.png: the speed, the latency and the F1 over the first swept setting, a line for each value of the others.

Matplotlib comes with the extra `plot` and is imported here alone, when there is something to draw.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sut.figures import label
from sut.sweep import report
from sut.sweep.grid import Axis, is_geometric, is_number
from sut.sweep.summary import Figure, Summary

NAME = "sweep.png"
_PANEL_INCHES, _HEIGHT_INCHES, _DPI = 6.2, 4.9, 150
_MARKERS = "osD^vP*X"
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")  # told apart by anyone
# The unit of a setting, by how its name ends.
_UNITS = {"_tokens": "tokens", "_ms": "ms", "_s": "s", "_qps": "queries/s", "_size": "samples", "threads": "threads"}


def draw(summaries: Sequence[Summary], axes: Sequence[Axis], heading: str, path: Path) -> None:
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
    canvas.suptitle("\n".join([heading, below, *report.notices(summaries)]), fontsize=10)
    for number, (name, panel) in enumerate(
        zip(figures, canvas.subplots(1, len(figures), squeeze=False)[0], strict=True)
    ):
        _panel(panel, name, summaries, axes)
        if number == 0 and len(axes) > 1:
            panel.legend(title=", ".join(axis.field for axis in axes[1:]), fontsize=8, title_fontsize=8)
    canvas.savefig(path)


def panels(summaries: Sequence[Summary]) -> list[str]:
    """The figures that get a panel: of the latencies only the highest percentile that every point has."""
    names = [set(one.figures) for one in summaries if one.figures]
    every = set.intersection(*names) if names else set()
    some = set.union(*names) if names else set()
    latencies = sorted(
        (name for name in every if re.fullmatch(r"p[\d.]+_ms", name)), key=lambda name: float(name[1:-3])
    )
    return [
        *(name for name in ("samples_per_s", "peak_qps") if name in some),
        *latencies[-1:],
        *(["f1"] if "f1" in some else []),
    ]


def _panel(panel: Any, name: str, summaries: Sequence[Summary], axes: Sequence[Axis]) -> None:
    values, ticks = axes[0].values, _ticks(axes[0])
    for number, others in enumerate(itertools.product(*(axis.values for axis in axes[1:]))):
        rest = dict(zip([axis.field for axis in axes[1:]], others, strict=True))
        of_line = [one for one in summaries if all(one.settings[field] == value for field, value in rest.items())]
        of_line = [one for one in of_line if name in one.figures]
        places = [ticks[values.index(one.settings[axes[0].field])] for one in of_line]
        _line(panel, places, of_line, name, number, ", ".join(map(str, others)))
    if is_geometric(values):
        panel.set_xscale("log", base=2)
    panel.set_xticks(ticks, [str(value) for value in values], rotation=30 if _is_long(values) else 0)
    panel.minorticks_off()
    panel.set_xlabel(_with_unit(axes[0].field))
    panel.set_ylabel(label(name))
    panel.set_ylim(bottom=0)
    panel.yaxis.set_major_formatter("{x:,.4g}" if panel.get_ylim()[1] < 1000 else "{x:,.0f}")
    panel.grid(alpha=0.3)
    panel.spines[["top", "right"]].set_visible(False)


def _line(panel: Any, places: list[float], of_line: list[Summary], name: str, number: int, title: str) -> None:
    found: list[Figure] = [one.figures[name] for one in of_line]
    medians = [one.median for one in found]
    spread = [[one.median - one.lowest for one in found], [one.highest - one.median for one in found]]
    colour, marker = _COLOURS[number % len(_COLOURS)], _MARKERS[number % len(_MARKERS)]
    panel.errorbar(places, medians, spread, color=colour, marker=marker, capsize=4, label=title, linewidth=1.5)
    doubtful = [(at, one.figures[name].median) for at, one in zip(places, of_line, strict=True) if not one.is_sure]
    if doubtful:
        panel.plot(*zip(*doubtful, strict=True), linestyle="", marker=marker, color=colour, markerfacecolor="white")


def _ticks(axis: Axis) -> list[float]:
    """Where the values lie: at themselves, or words one after the other."""
    if all(is_number(value) for value in axis.values):
        return [float(value) for value in axis.values]
    return [float(number) for number in range(len(axis.values))]


def _is_long(values: Sequence[object]) -> bool:
    return sum(len(str(value)) for value in values) > 40


def _with_unit(field: str) -> str:
    return next((f"{field}, in {unit}" for ending, unit in _UNITS.items() if field.endswith(ending)), field)
