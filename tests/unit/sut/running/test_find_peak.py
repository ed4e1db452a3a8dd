"""The search for the highest valid rate, on servers whose peak is known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sut.errors import RunFailedError
from sut.record.results import Probe
from sut.running.find_peak import check_length, peak, search


def probes_of(true_peak: float, start_qps: float) -> list[Probe]:
    return list(search(lambda qps: Probe(qps, qps <= true_peak, qps, 1.0, ()), start_qps))


@given(st.floats(0.5, 50_000), st.floats(0.2, 3))
def test_the_peak_is_found_within_two_percent(true_peak: float, guess: float) -> None:
    probes = probes_of(true_peak, true_peak * guess)
    found = peak(probes)
    assert found is not None
    assert 0.98 * true_peak <= found.target_qps <= true_peak
    assert len(probes) <= 24


def test_one_hiccup_does_not_hide_the_peak() -> None:
    asked: list[float] = []

    def hiccup(qps: float) -> Probe:
        asked.append(qps)
        return Probe(qps, qps <= 100 and len(asked) != 2, qps, 1.0, ())

    found = peak(list(search(hiccup, 60)))
    assert found is not None and found.target_qps >= 98
    assert asked[1] == asked[2]


def test_after_an_overloaded_probe_comes_about_what_it_answered() -> None:
    capacity = 100.0
    found = list(search(lambda qps: Probe(qps, qps <= capacity, qps, 1.0, (), min(qps, capacity)), 16 * capacity))
    assert [probe.target_qps for probe in found[:4]] == pytest.approx([1600, 200, 90, 108])  # an eighth at most
    assert len(found) <= 11
    best = peak(found)
    assert best is not None and best.target_qps >= 98


@pytest.mark.parametrize("start_qps", [0.01, 5.0])
def test_a_server_that_is_never_valid_has_none(start_qps: float) -> None:
    probes = probes_of(0.0, start_qps)
    assert peak(probes) is None
    assert len(probes) == 24
    assert [probe.target_qps for probe in probes] == sorted((probe.target_qps for probe in probes), reverse=True)


def test_a_probe_of_too_few_queries_ends_the_search() -> None:
    check_length(459, 0.99)  # LoadGen: "would need to run at least 359 more" than 100
    check_length(44, 0.9)  # of a user.conf
    with pytest.raises(RunFailedError, match=r"at least 459 queries in a probe.* found 458\. Type: --test-query-count"):
        check_length(458, 0.99)
