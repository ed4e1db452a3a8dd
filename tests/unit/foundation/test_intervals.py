"""Confidence intervals against their definitions, by hand, and at the ends of the range."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation import intervals


def within(t: float, freedom: int) -> float:
    """The share of Student's distribution within ±t: its density, summed; the scale cancels."""
    # x = √freedom·tan(angle) turns the density into a cosine's power
    angles = np.linspace(0.0, np.pi / 2, 400_001)[:-1]
    weights = np.cos(angles) ** (freedom - 1)
    return float(weights[angles <= np.arctan(t / freedom**0.5)].sum() / weights.sum())


@pytest.mark.parametrize("n", [2, 3, 5, 11, 12, 20, 60])
def test_the_interval_of_the_mean_is_students_over_logarithms(n: int) -> None:
    logs = np.random.default_rng(n).normal(4, 0.05, n)
    found = intervals.of_repeats(np.exp(logs).tolist())
    assert found is not None
    low, high = np.log(found)
    assert (low + high) / 2 == pytest.approx(logs.mean())
    t = (high - low) / 2 / (logs.std(ddof=1) / n**0.5)
    assert within(t, n - 1) == pytest.approx(0.95, abs=2e-4)


@given(st.lists(st.floats(0, 1e6), max_size=5))
def test_no_interval_of_speeds_is_negative(values: list[float]) -> None:
    found = intervals.of_repeats(values)
    assert (found is None) == (len(values) < 2)
    assert found is None or 0 <= found.low <= found.high


@given(st.lists(st.floats(0.1, 1e6), min_size=2, max_size=5))
def test_the_mean_of_repeats_is_the_one_in_the_middle_of_its_interval(values: list[float]) -> None:
    found, mean = intervals.of_repeats(values), intervals.mean_of_repeats(values)
    assert found is not None and found.low <= mean * (1 + 1e-9) and mean <= found.high * (1 + 1e-9)
    assert np.log(mean) == pytest.approx(np.log(values).mean())
    assert intervals.mean_of_repeats([0.0, *values]) == pytest.approx(np.mean([0.0, *values]))


def test_three_repeats_far_apart_have_a_wide_interval() -> None:
    found = intervals.of_repeats([60.0, 120.0, 185.0])
    assert found is not None and 20 < found.low < 60 and 200 < found.high < 500


def test_the_ratio_of_two_means_by_hand() -> None:
    # logarithms: 0 and ln 4, standard error ln 2; ln 8 twice, none. The ratio of the means is 8 / 2.
    found = intervals.of_ratio([8.0, 8.0], [1.0, 4.0])
    assert found is not None
    assert (found.low * found.high) ** 0.5 == pytest.approx(4)
    assert found.high == pytest.approx(4 * 2**12.7062)
    assert intervals.of_ratio([8.0], [1.0, 4.0]) is None is intervals.of_ratio([0.0, 1.0], [1.0, 4.0])


def test_wilson_by_hand() -> None:
    # z² = 3.8415: centre (0.8 + 0.19207) / 1.38415 and half-width computed by hand
    assert intervals.of_share(8, 10) == pytest.approx((0.490157, 0.943319), abs=1e-5)


@pytest.mark.parametrize("n", [1, 2, 10, 30, 1000])
def test_all_right_is_not_certain_and_none_right_neither(n: int) -> None:
    for low, high in (intervals.of_share(n, n), intervals.of_scores([1.0] * n)):
        assert 0 < low < 1 - 0.5 / n and high == 1
    for low, high in (intervals.of_share(0, n), intervals.of_scores([0.0] * n)):
        assert low == 0 and 0.5 / n < high < 1


def test_nothing_answered_says_nothing() -> None:
    assert intervals.of_share(0, 0) == (0, 1)
    assert intervals.of_scores([]) == pytest.approx((0, 1))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_the_mean_of_scores_is_in_its_interval(values: list[float]) -> None:
    low, high = intervals.of_scores(values)
    assert 0 <= low <= high <= 1
    assert low - 1e-9 <= sum(values) / len(values) <= high + 1e-9


def test_of_many_scores_it_is_the_normal_interval() -> None:
    values = np.random.default_rng(0).beta(2, 1, 20_000)
    half = 1.959964 * values.std(ddof=1) / len(values) ** 0.5
    assert intervals.of_scores(values.tolist()) == pytest.approx((values.mean() - half, values.mean() + half), abs=1e-4)


def test_the_interval_of_differences_is_students() -> None:
    found = intervals.of_differences([-1.0, 0.0, 1.0, 4.0])
    assert found is not None
    half = 3.1824 * np.std([-1, 0, 1, 4], ddof=1) / 2
    assert found == pytest.approx((1 - half, 1 + half), abs=1e-4)
    assert intervals.of_differences([0.5]) is None and intervals.of_differences([0.0] * 9) == (0, 0)
