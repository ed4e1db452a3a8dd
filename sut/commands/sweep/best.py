"""The best point of a sweep, and how the others compare with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from accuracy.targets import METRICS
from foundation import intervals
from foundation.people_numbers import figure
from sut.commands.sweep.grid import point_text
from sut.commands.sweep.rows import SweepRow
from sut.commands.sweep.summary import PointSummary
from sut.record.figures import label

_SPEEDS = ("peak_qps", "samples_per_s")


@dataclass(frozen=True)
class Best:
    """The point with the highest median of a figure, among those without a failed or invalid run."""

    name: str  # of the figure
    point: PointSummary

    def share(self, one: PointSummary) -> float | None:
        """The median of a point as a share of the best one's; None if it has none, or a run was invalid or failed."""
        found, of = one.figures.get(self.name), self.point.figures[self.name].median
        return found.median / of if found and of and one.is_sure else None


def best(summaries: Sequence[PointSummary], mode: str) -> Best | None:
    """The best point; None if fewer than two can be compared.

    Args:
        mode: LoadGen's; in accuracy mode the best point is the most accurate one.
    """
    names = METRICS if mode == "accuracy" else _SPEEDS
    sure = [one for one in summaries if one.is_sure]
    name = next((name for name in names if sum(name in one.figures for one in sure) > 1), None)
    if name is None:
        return None
    return Best(name, max((one for one in sure if name in one.figures), key=lambda one: one.figures[name].median))


def line(found: Best, summaries: Sequence[PointSummary], finished: Sequence[SweepRow]) -> str:
    """The best point in words, with the ratio to the first other one of the grid."""
    value = f"{figure(found.point.figures[found.name].median)} {label(found.name)}"
    other = next(one for one in summaries if one is not found.point and one.is_sure and found.name in one.figures)
    return f"best: {point_text(found.point.point)}: {value}{_ratio(found, other, finished)}"


def _ratio(found: Best, other: PointSummary, finished: Sequence[SweepRow]) -> str:
    share = found.share(other)
    if not share:
        return ""
    above, below = (_values(one, found.name, finished) for one in (found.point, other))
    between = intervals.of_ratio(above, below)
    shown = "" if between is None else f", 95 % CI {figure(between.low)} – {figure(between.high)}"
    return f", {figure(1 / share)} times {point_text(other.point)} ({len(above)} and {len(below)} runs{shown})"


def _values(one: PointSummary, name: str, finished: Sequence[SweepRow]) -> list[float]:
    return [row.figures[name] for row in finished if row.point == one.point and name in row.figures]
