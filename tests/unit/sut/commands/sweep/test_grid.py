"""Parsing --set: names in any spelling, values, ranges, the cross product, and one clear error otherwise."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sut.commands.sweep.grid import Axis, axis, is_geometric, points
from sut.errors import UsageError
from sut.settings.settings import RunConfig


@pytest.mark.parametrize(
    "name", ["cores_per_instance", "cores-per-instance", "CORES_PER_INSTANCE", "--cores-per-instance"]
)
def test_a_name_in_any_spelling(name: str) -> None:
    assert axis(f"{name}=1 2") == Axis("cores_per_instance", (1, 2))


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("instances=1 2 4", (1, 2, 4)),
        ("instances=1|2", (1, 2)),
        ("instances= 1 | 2 ", (1, 2)),
        ("instances=1 2 4 ...64", (1, 2, 4, 8, 16, 32, 64)),
        ("instances=1 2 4 ... 50", (1, 2, 4, 8, 16, 32)),
        ("instances=2 4 …16", (2, 4, 6, 8, 10, 12, 14, 16)),
        ("instances=1 2 3 ...5", (1, 2, 3, 4, 5)),
        ("instances=8 4 2 ...1", (8, 4, 2, 1)),
        ("instances=9 7 ...2", (9, 7, 5, 3)),
        ("target_qps=0.1 0.2 ...0.5", (0.1, 0.2, 0.3, 0.4, 0.5)),
        ("precision=fp32|int8", ("fp32", "int8")),
        ("find_peak=true|FALSE", (True, False)),
        ("model='a b/c' d", ("a b/c", "d")),
        ("dataset=x.json|y.json", ("x.json", "y.json")),
    ],
)
def test_values(text: str, values: tuple[object, ...]) -> None:
    found = axis(text).values
    assert found == values
    assert [type(value) for value in found] == [type(value) for value in values]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("instances", "NAME=VALUES"),
        ("instances=", "found none"),
        ("instnces=1", "Did you mean instances"),
        ("colour=1", "Known: .*scenario"),
        ("log_dir=a b", "a setting of a run"),
        ("instances=1 two", "whole numbers"),
        ("target_qps=fast", "expected numbers"),
        ("find_peak=maybe", "true or false"),
        ("instances=1 1", "found one twice"),
        ("instances=1 ...8", "fewer than two"),
        ("instances=1 2 4 7 ...80", "not constant"),
        ("instances=2 2 ...8", "does not reach"),
        ("instances=4 8 ...2", "does not reach"),
        ("instances=1 2 ...90000", "more than 1000"),
        ("target_qps=1 2 4 ...1e999999999", "more than 30 digits"),
        ("target_qps=1 2 4 ...1e-99999", "more than 30 digits"),
        (f"target_qps=1 2 ...{'9' * 5000}", "more than 30 digits"),
        ("instances=1 2 ...8 9", "two or more numbers"),
        ("model='a b", "closed quotes"),
    ],
)
def test_invalid_values_end_in_one_message(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        axis(text)


@given(st.integers(1, 50), st.integers(1, 50), st.integers(0, 100))
def test_an_arithmetic_range_holds_every_step_up_to_its_end(first: int, step: int, more: int) -> None:
    last = first + step + more
    assert axis(f"threads={first} {first + step} ...{last}").values == tuple(range(first, last + 1, step))


@given(st.integers(1, 9), st.fractions(Fraction(3, 2), 4, max_denominator=2), st.integers(3, 7))
def test_a_geometric_range_continues_its_ratio(first: int, ratio: Fraction, count: int) -> None:
    values = [float(first * ratio**power) for power in range(count)]
    found = axis(f"target_qps={' '.join(map(repr, values[:3]))} ...{values[-1]!r}")
    assert found.values == tuple(values)
    assert is_geometric(found.values)


def test_the_cross_product_turns_the_last_axis_fastest() -> None:
    grid = points([axis("scenario=server|offline"), axis("instances=1 2")], {"backend": "fake"})
    assert [str(point) for point in grid] == [
        "scenario=server instances=1",
        "scenario=server instances=2",
        "scenario=offline instances=1",
        "scenario=offline instances=2",
    ]
    assert grid[1].config == RunConfig(scenario="Server", backend="fake", instances=2)


@pytest.mark.parametrize(
    ("texts", "flags", "words"),
    [
        (
            [f"{name}=1 2 ...10" for name in ("threads", "instances", "steps", "batch_size", "target_qps")],
            {},
            "100,000",
        ),
        (["instances=1 2"], {"instances": 1}, "Remove the flag"),
        (["instances=1 2", "INSTANCES=3"], {}, "each setting once"),
        (["instances=0 1"], {}, "--instances above 0"),
        (["scenario=Offlin"], {}, "Did you mean Offline"),
    ],
)
def test_invalid_grids(texts: list[str], flags: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        points([axis(text) for text in texts], flags)


def test_repeats_count_as_runs() -> None:
    with pytest.raises(UsageError, match=r"at most 10,000 runs, found 2,000,000,000\. .*--repeat"):
        points([axis("threads=1 2")], {}, repeat=10**9)
