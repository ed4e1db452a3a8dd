"""The warnings of a run: threads that share cores, other work, clocks."""

from __future__ import annotations

import pytest

from sut.machine import load
from sut.machine.topology import Place
from sut.running import conditions

TWO_CORES = [Place(0, 2, (0, 1), False)]


@pytest.mark.parametrize(("threads", "warns"), [(8, True), (3, True), (2, False), (1, False), (None, False)])
def test_threads_that_share_cores(threads: int | None, warns: bool) -> None:
    found = [text for text in conditions.of(TWO_CORES, threads, load.now()) if "threads" in text]
    assert [text.startswith(f"{threads} threads share the 2 cores") for text in found] == [True] * warns
    assert conditions.of([], threads, load.now()) == ()  # instances on nodes


@pytest.mark.parametrize(
    ("others", "cpus", "warns"), [(1.2, 2, True), (0.4, 2, False), (2.0, 64, False), (20.0, 64, True), (None, 2, False)]
)
def test_other_work(others: float | None, cpus: int, warns: bool) -> None:
    found = conditions.machine(others, cpus)
    assert (found is not None) == warns
    if found:
        assert found.startswith(f"other work keeps {others:.1f} of {cpus} cores busy")


def test_a_governor_is_named_with_what_to_type() -> None:
    assert conditions.governed(None) is None
    assert "powersave" in str(conditions.governed("powersave")) and "cpupower" in str(conditions.governed("powersave"))
