"""The table of a sweep, and the heading and notices shown with its figures on the terminal and in the plot."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from backends import BACKENDS
from backends.bert.model import GRAPH_SUFFIX
from foundation import terminal
from foundation.people_numbers import figure
from sut.commands.sweep.grid import Axis, shown
from sut.commands.sweep.rows import SweepRow
from sut.commands.sweep.summary import FigureStatistics, PointSummary
from sut.record.figures import label
from sut.settings.settings import RunConfig

_SURE_FROM = 3  # repeats: with two, the interval is too wide to be of use
_COLUMNS = ("samples_per_s", "peak_qps", "p50_ms", "p90_ms", "p99_ms", "batch_p50_ms", "batch_p99_ms", "f1", "accuracy")
_SHARED = ("scenario", "mode", "model", "backend", "precision")  # settings shown in the heading, unless they are swept


def heading(config: RunConfig, axes: Sequence[Axis]) -> str:
    """The heading: the swept settings, and the values that all points share."""
    swept = [axis.field for axis in axes]
    values = {name: str(getattr(config, name)) for name in _SHARED if name not in swept}
    if config.model.endswith(GRAPH_SUFFIX) and config.precision in BACKENDS[config.backend].graph_precisions:
        values.pop("precision", None)  # the file has its own
    return f"{' × '.join(swept)}: {', '.join(values.values())}"


def notices(summaries: Sequence[PointSummary]) -> list[str]:
    """The notices of all runs, to be printed with the figures."""
    return list(dict.fromkeys(notice for one in summaries for notice in one.notices))


def show(summaries: Sequence[PointSummary], axes: Sequence[Axis], finished: Sequence[SweepRow]) -> None:
    """Print the table, the failures below it, and the notices."""
    console = terminal.console()
    figures = [name for name in _COLUMNS if any(name in one.figures for one in summaries)]
    table = Table(box=None, padding=(0, 2, 0, 0), caption_justify="left")
    for axis in axes:
        table.add_column(axis.field)
    table.add_column("verdicts")
    for name in figures:
        table.add_column(label(name), justify="right")
    table.add_column("95 % of the mean", justify="right")
    for one in summaries:
        cells = [_median(one.figures.get(name)) for name in figures]
        table.add_row(*map(shown, one.point.values()), _verdicts(one), *cells, _interval(one, figures))
    console.print(table)
    of_what = (
        f"; the last column is of {label(figures[0])}, by Student's t, from {_SURE_FROM} repeats on" if figures else ""
    )
    console.print(f"median (lowest – highest) of the repeats{of_what}", style="dim")
    for row in finished:
        if row.error:
            console.print(f"FAILED {row.point}, repeat {row.repeat}: {row.error}", soft_wrap=True)
    for notice in notices(summaries):
        console.print(f"note: {notice}", style="dim")


def _median(found: FigureStatistics | None) -> str:
    if found is None:
        return "–"
    spread = f" ({figure(found.lowest)} – {figure(found.highest)})" if found.n > 1 else ""
    return f"{figure(found.median)}{spread}"


def _interval(one: PointSummary, figures: Sequence[str]) -> str:
    found = one.figures.get(figures[0]) if figures else None
    if found is None or found.mean_95 is None or found.n < _SURE_FROM:
        return "–"
    return " – ".join(map(figure, found.mean_95))


def _verdicts(one: PointSummary) -> str:
    return ", ".join(f"{count} {verdict}" for verdict, count in one.verdicts.items())
