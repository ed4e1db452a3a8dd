"""What the repeats of a point say together: median, lowest and highest, and how sure the mean is.

Few repeats have no 95 % interval of their median (fewer than six never do), so the interval is the mean's, by Student's
t: wide with two or three repeats, as it should be.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sut.commands.sweep.grid import Point, Value
from sut.commands.sweep.rows import Row

NAME = "summary.jsonl"
# Quantiles of Student's t at 0.975 for 1, 2, 3 … degrees of freedom; beyond, the expansion in `_t` is as good.
_T = (12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281)
_Z = 1.959964
_GOOD = {"VALID", "PASS", "SCORED", "PEAK"}


@dataclass(frozen=True)
class Figure:
    """One figure over the repeats that have it; `mean_95` is None where there is only one."""

    n: int
    median: float
    lowest: float
    highest: float
    mean: float
    mean_95: tuple[float, float] | None


@dataclass(frozen=True)
class Summary:
    """One point: all its runs that have ended so far."""

    point: Mapping[str, Value]
    runs: int
    failures: int
    verdicts: Mapping[str, int]
    figures: Mapping[str, Figure]
    random_weights: bool
    trial: bool
    notices: tuple[str, ...]  # what must stand beside the figures
    interval: str = "95 % of the mean, Student's t over the repeats"  # what `mean_95` is

    @property
    def is_sure(self) -> bool:
        """True where no run failed, was invalid or missed its accuracy."""
        return set(self.verdicts) <= _GOOD


def figure(values: Sequence[float]) -> Figure:
    """Of one value or more."""
    mean, n = statistics.fmean(values), len(values)
    half = _t(n - 1) * statistics.stdev(values) / n**0.5 if n > 1 else None
    interval = None if half is None else (mean - half, mean + half)
    return Figure(n, statistics.median(values), min(values), max(values), mean, interval)


def summaries(points: Iterable[Point], finished: Sequence[Row]) -> list[Summary]:
    """One for each point that has a row, in the order of the grid."""
    of_point = [(point, [row for row in finished if row.point == point.settings]) for point in points]
    return [_summary(point.settings, rows) for point, rows in of_point if rows]


def _summary(point: Mapping[str, Value], rows: Sequence[Row]) -> Summary:
    names = dict.fromkeys(name for row in rows for name in row.figures)
    return Summary(
        point,
        len(rows),
        sum(row.error is not None for row in rows),
        dict(Counter(row.verdict for row in rows)),
        {name: figure([row.figures[name] for row in rows if name in row.figures]) for name in names},
        any(row.random_weights for row in rows),
        any(row.trial for row in rows),
        tuple(dict.fromkeys(notice for row in rows for notice in row.notices)),
    )


def _t(freedom: int) -> float:
    """Student's t at 0.975: the table, then the first terms of its expansion about the normal's quantile."""
    if freedom <= len(_T):
        return _T[freedom - 1]
    z = _Z
    terms = (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96, (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + sum((term / float(freedom**power) for power, term in enumerate(terms, start=1)), 0.0)
