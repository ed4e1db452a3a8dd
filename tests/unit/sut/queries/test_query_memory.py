"""How many samples LoadGen generates ahead, and that too many are refused before it tries."""

from __future__ import annotations

import contextlib

import pytest

from sut.errors import UsageError
from sut.queries import loadgen, query_memory
from sut.settings.resolve import resolve


@pytest.mark.parametrize(
    ("scenario", "least", "expected"),
    [
        ("Offline", 24, 1.1 * 50 * 600),
        ("Offline", 1e9, 1e9),
        ("Server", 24, 50 * 600),
        ("SingleStream", 64, 2 * 50 * 600),
        ("MultiStream", 64, 2 * 50 * 600 * 8),
    ],
)
def test_what_is_generated(scenario: str, least: float, expected: float) -> None:
    per_query = 8 if scenario == "MultiStream" else 1
    found = query_memory.generated(
        scenario, min_query_count=least, queries_per_s=50, duration_s=600, samples_per_query=per_query
    )
    assert found == int(expected)


@pytest.mark.parametrize(
    "settings",
    [
        {"test_query_count": 10**9},
        {"min_duration_s": 6e5, "scenario": "Server", "target_qps": 1e6},
        {"min_duration_s": 1e9, "scenario": "SingleStream"},
        {"min_duration_s": 6e5, "scenario": "MultiStream", "target_qps": 1e6},
    ],
)
def test_too_many_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=r"GiB of memory for the .* samples that LoadGen generates ahead.*Lower"):
        loadgen.plan(resolve(settings), "bert", 100, 1e4, available=64 << 30)
    assert loadgen.plan(resolve({**settings, "mode": "accuracy"}), "bert", 100, 1e4, available=64 << 30)


@pytest.mark.parametrize(("scenario", "fits"), [("Offline", True), ("MultiStream", True), ("Server", False)])
def test_a_query_takes_more_than_its_samples(scenario: str, fits: bool) -> None:
    expected = contextlib.nullcontext() if fits else pytest.raises(UsageError, match=r"44\.70 GiB")
    with expected:
        query_memory.check(scenario, 10**8, available=24 << 30)
