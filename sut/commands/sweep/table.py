"""The table of a sweep, and the heading and notices shown with its figures on the terminal and in the plot."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from backends import BACKENDS
from backends.bert.model import GRAPH_SUFFIX
from foundation import tables, terminal
from foundation.people_numbers import count, figure
from sut.commands.sweep import best
from sut.commands.sweep.best import Best
from sut.commands.sweep.grid import Axis, point_text, shown
from sut.commands.sweep.rows import SweepRow
from sut.commands.sweep.summary import FigureStatistics, PointSummary
from sut.record.figures import label
from sut.settings.settings import RunConfig

_INTERVAL, _OF_THE_BEST = "mean, 95 % CI", "of the best"
_NUMBER = re.compile(r"[\d.,]+")
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


def warnings(finished: Sequence[SweepRow]) -> list[str]:
    """The warnings of the runs: those that differ in their numbers alone are one line, with the first's numbers."""
    found: dict[str, list[str]] = {}
    for text in (text for row in finished for text in row.warnings):
        found.setdefault(_NUMBER.sub("", text), []).append(text)
    return [f"in {len(texts)} of {count(len(finished), 'run')}: {texts[0]}" for texts in found.values()]


@dataclass(frozen=True)
class Columns:
    """The table as text: headings, the names of those with numbers, and rows, the first columns being the point's."""

    headings: tuple[str, ...]
    numbers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]  # as `tables.show` takes them
    about: str  # what the numbers are


def columns(summaries: Sequence[PointSummary], axes: Sequence[Axis], found: Best | None) -> Columns:
    """The table of a sweep; the best point is marked."""
    figures = [name for name in _COLUMNS if any(name in one.figures for one in summaries)]
    first = found.name if found else (figures or [""])[0]
    numbers = (
        *(label(name).replace(" latency", "\nlatency") for name in figures),
        *([_INTERVAL] if first else []),
        *([_OF_THE_BEST] if found else []),
    )
    rows = []
    for one in summaries:
        medians = (_median(one.figures.get(name)) for name in figures)
        interval = [_interval(one.figures.get(first))] if first else []
        share = [_share(found, one)] if found else []
        rows.append((*map(shown, one.point.values()), _verdicts(one), *medians, *interval, *share))
    of_what = f"; {_INTERVAL}: geometric, of {label(first)}, by Student's t over the logarithms" if first else ""
    headings = (*(axis.field for axis in axes), "verdicts", *numbers)
    return Columns(headings, numbers, tuple(rows), f"median (lowest – highest) of the repeats{of_what}")


def show(
    summaries: Sequence[PointSummary], axes: Sequence[Axis], finished: Sequence[SweepRow], found: Best | None
) -> None:
    """Print the table, the best point and the failures below it, the notices and the warnings."""
    console = terminal.console()
    table = columns(summaries, axes, found)
    tables.show(table.headings, table.rows, table.numbers)
    console.print(table.about, style="dim", soft_wrap=True)
    if found:
        console.print(best.line(found, summaries, finished), style="bold", soft_wrap=True)
    for row in finished:
        if row.error:
            console.print(f"FAILED {point_text(row.point)}, repeat {row.repeat}: {row.error}", soft_wrap=True)
    for notice in notices(summaries):
        console.print(f"note: {notice}", style="dim", soft_wrap=True)
    for warning in warnings(finished):
        console.print(f"warning, {warning}", soft_wrap=True)


def _share(found: Best, one: PointSummary) -> str:
    share = found.share(one)
    return "best" if one is found.point else "–" if share is None else f"{share:.1%}"


def _median(found: FigureStatistics | None) -> str:
    if found is None:
        return "–"
    spread = f"\n({figure(found.lowest)} – {figure(found.highest)})" if found.n > 1 else ""
    return f"{figure(found.median)}{spread}"


def _interval(found: FigureStatistics | None) -> str:
    if found is None or found.mean_95 is None or found.n < _SURE_FROM:
        return "–"
    low, high = map(figure, found.mean_95)
    return f"{figure(found.mean)}, n = {found.n}\n({low} – {high})"


def _verdicts(one: PointSummary) -> str:
    return ",\n".join(f"{count} {verdict}" for verdict, count in one.verdicts.items())
