"""Numbers as people read them."""

from __future__ import annotations

import pytest

from foundation.people_numbers import clock, count, figure, gibibytes, megabytes, plain


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.91352, "0.9135"),
        (812.44, "812.4"),
        (999.96, "1,000"),
        (482_000_000.0, "482,000,000"),
        (0.0703e-3, "0.00007"),
        (1e-9, "0"),
        (-0.5, "-0.5"),
        (12345.6, "12,346"),
        (-1234.5, "-1,234"),
        (0, "0"),
    ],
)
def test_figure(value: float, text: str) -> None:
    assert figure(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(17.392345, "17.3923"), (1.25e6, "1250000"), (12345678.9, "12345679"), (2.5e-5, "0.000025")]
)
def test_a_number_for_a_file_or_a_command_line(value: float, text: str) -> None:
    assert plain(value) == text


@pytest.mark.parametrize(("seconds", "text"), [(5, "0:05"), (59.6, "1:00"), (605.4, "10:05"), (3723, "1:02:03")])
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_gibibytes_and_counts() -> None:
    assert gibibytes(5 << 28) == "1.25 GiB"
    assert [megabytes(one) for one in (0, 45_640_000, 1_340_000_000)] == ["0.0 MB", "45.6 MB", "1.34 GB"]
    assert [count(number, "instance") for number in (0, 1, 2000)] == ["0 instances", "1 instance", "2,000 instances"]
    assert count(2, "copy", "copies") == "2 copies"
