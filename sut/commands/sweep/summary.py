"""Statistics over the repeats of a point: median, lowest, highest, and a confidence interval of the mean.

Fewer than six repeats have no 95 % interval of the median, so the interval is that of the mean: wide for two or three
repeats, as it should be.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from foundation import intervals
from sut.commands.sweep.grid import Point, Value
from sut.commands.sweep.rows import SweepRow

NAME = "summary.jsonl"
_GOOD = {"VALID", "PASS", "SCORED", "PEAK"}


@dataclass(frozen=True, kw_only=True)
class FigureStatistics:
    """One figure over the repeats that have it; `mean_95` is of `mean`, and None for a single repeat."""

    n: int
    median: float
    lowest: float
    highest: float
    mean: float
    mean_95: tuple[float, float] | None


@dataclass(frozen=True, kw_only=True)
class PointSummary:
    """One point with all its finished runs."""

    point: Mapping[str, Value]
    runs: int
    failures: int
    verdicts: Mapping[str, int]
    figures: Mapping[str, FigureStatistics]
    random_weights: bool
    trial: bool
    notices: tuple[str, ...]  # to be printed with the figures
    interval: str = "95 % CI of the geometric mean, Student's t over the logarithms of n repeats"  # what `mean_95` is

    @property
    def is_sure(self) -> bool:
        """Whether no run failed, was invalid or missed its accuracy."""
        return set(self.verdicts) <= _GOOD


def figure(values: Sequence[float]) -> FigureStatistics:
    """The statistics of one or more values."""
    return FigureStatistics(
        n=len(values),
        median=statistics.median(values),
        lowest=min(values),
        highest=max(values),
        mean=intervals.mean_of_repeats(values),
        mean_95=intervals.of_repeats(values),
    )


def summaries(points: Iterable[Point], finished: Sequence[SweepRow]) -> list[PointSummary]:
    """A summary for each point with a row, in the order of the grid."""
    of_point = [(point, [row for row in finished if row.point == point.settings]) for point in points]
    return [_summary(point.settings, rows) for point, rows in of_point if rows]


def _summary(point: Mapping[str, Value], rows: Sequence[SweepRow]) -> PointSummary:
    names = dict.fromkeys(name for row in rows for name in row.figures)
    return PointSummary(
        point=point,
        runs=len(rows),
        failures=sum(row.error is not None for row in rows),
        verdicts=dict(Counter(row.verdict for row in rows)),
        figures={name: figure([row.figures[name] for row in rows if name in row.figures]) for name in names},
        random_weights=any(row.random_weights for row in rows),
        trial=any(row.trial for row in rows),
        notices=tuple(dict.fromkeys(notice for row in rows for notice in row.notices)),
    )
