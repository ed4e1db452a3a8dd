"""95 % confidence intervals: of the mean of a few measurements, of their ratio, of a share, of the mean of scores, of
paired differences.

None of the first four leaves the range of its values, and 30 right answers of 30 are no proof of 100 %.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

_Z = 1.959964  # standard deviations of a 95 % interval
# Quantiles of Student's t at 0.975 for 1, 2, 3 … degrees of freedom; for more, `_t` uses an expansion.
_T = (12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281)


class Interval(NamedTuple):
    """The bounds of a 95 % confidence interval."""

    low: float
    high: float


def of_repeats(values: Sequence[float]) -> Interval | None:
    """The interval of the mean of repeated measurements, none of them negative; None for fewer than two.

    Student's t over the logarithms, so the mean is the geometric one: speeds and times have errors in proportion, and
    an interval of two or three of them is wide, but never negative. With a 0 among them, Student's t over the values,
    cut at 0.
    """
    if len(values) < 2:
        return None
    if min(values) > 0:
        logs = [math.log(value) for value in values]
        return _exponential(statistics.fmean(logs), _t(len(logs) - 1) * _error(logs))
    centre, half = statistics.fmean(values), _t(len(values) - 1) * _error(values)
    return Interval(max(0.0, centre - half), centre + half)


def mean_of_repeats(values: Sequence[float]) -> float:
    """The mean that `of_repeats` has the interval of: the geometric one, or with a 0 among the values their mean."""
    return statistics.geometric_mean(values) if min(values) > 0 else statistics.fmean(values)


def of_ratio(above: Sequence[float], below: Sequence[float]) -> Interval | None:
    """The interval of the ratio of two geometric means; None with fewer than two measurements of either, or a 0.

    Welch's t over the logarithms, with the smaller number's degrees of freedom, which is at worst too wide.
    """
    if min(len(above), len(below)) < 2 or min(*above, *below) <= 0:
        return None
    tops, bottoms = [math.log(value) for value in above], [math.log(value) for value in below]
    centre = statistics.fmean(tops) - statistics.fmean(bottoms)
    return _exponential(centre, _t(min(len(above), len(below)) - 1) * math.hypot(_error(tops), _error(bottoms)))


def of_share(right: int, of: int) -> Interval:
    """Wilson's interval of the share right / of; (0, 1) if `of` is 0."""
    if of == 0:
        return Interval(0.0, 1.0)
    share, spread = right / of, _Z**2 / of
    centre = (share + spread / 2) / (1 + spread)
    half = _Z * math.sqrt(share * (1 - share) / of + spread / (4 * of)) / (1 + spread)
    return Interval(centre - half if right else 0.0, centre + half if right < of else 1.0)


def of_scores(values: Sequence[float]) -> Interval:
    """The interval of the mean of scores from 0 to 1, such as F1 of questions.

    Agresti and Coull's for a share, with the scores' own variance: the normal interval after z²/2 scores of 0 and as
    many of 1 were added, about two of each. With many scores it is the normal interval.
    """
    n = len(values) + _Z**2
    mean = (math.fsum(values) + _Z**2 / 2) / n
    variance = (math.fsum(value * value for value in values) + _Z**2 / 2) / n - mean**2
    half = _Z * math.sqrt(variance / n)
    return Interval(max(0.0, mean - half), min(1.0, mean + half))


def of_differences(values: Sequence[float]) -> Interval | None:
    """The interval of the mean of paired differences, by Student's t; None for fewer than two.

    Pairs answer the same questions, so what makes a question hard for both does not widen it. Where all are 0 it has no
    width: it speaks of these questions alone.
    """
    if len(values) < 2:
        return None
    centre, half = statistics.fmean(values), _t(len(values) - 1) * _error(values)
    return Interval(centre - half, centre + half)


def _exponential(centre: float, half: float) -> Interval:
    """Of a logarithm's interval; beyond a float's range it is infinite."""
    try:
        return Interval(math.exp(centre - half), math.exp(centre + half))
    except OverflowError:
        return Interval(0.0, math.inf)


def _error(values: Sequence[float]) -> float:
    """The standard error of the mean of two or more values."""
    return statistics.stdev(values) / math.sqrt(len(values))


def _t(freedom: int) -> float:
    """Student's t at 0.975: from the table, or by the first terms of its expansion around the normal quantile."""
    if freedom <= len(_T):
        return _T[freedom - 1]
    z = _Z
    terms = (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96, (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + sum((term / float(freedom**power) for power, term in enumerate(terms, start=1)), 0.0)
