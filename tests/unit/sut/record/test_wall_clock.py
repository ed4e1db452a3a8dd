"""A step of the wall clock during a test is seen, whatever the clock shows in the end."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from sut.record.wall_clock import WallClock


def watched(wall: Sequence[float], monotonic: Sequence[float]) -> WallClock:
    """A clock that was updated once for each pair after the first."""
    now = [wall[0], monotonic[0]]
    clock = WallClock(lambda: now[0], lambda: now[1])
    for now[:] in zip(wall[1:], monotonic[1:], strict=True):
        clock.update()
    return clock


@pytest.mark.parametrize(
    ("wall", "step_s"),
    [
        ((1e9, 1e9 + 1, 1e9 + 600), 0),
        ((1e9, 1e9 + 1, 1e9 + 700), 100),
        ((1e9, 1e9 - 86399, 1e9 - 85800), -86400),
        ((1e9, 1e9 + 51, 1e9 + 600), 50),  # forwards and back
    ],
)
def test_the_largest_step_counts(wall: tuple[float, ...], step_s: float) -> None:
    clock = watched(wall, (0, 1, 600))
    assert clock.step_s == pytest.approx(step_s)
    assert len(clock.reasons(600)) == (step_s != 0)


@pytest.mark.parametrize(
    ("window_s", "step_s", "is_invalid"),
    [
        (600, 5.9, False), (600, 6.1, True), (600, -6.1, True),
        (10, 0.099, False), (10, 0.128, True),
        (0.003, 0.0015, False), (0.003, 0.01, True),
    ],
)  # fmt: skip
def test_a_step_may_be_a_hundredth_of_the_window(window_s: float, step_s: float, is_invalid: bool) -> None:
    reasons = watched((0, window_s + step_s), (0, window_s)).reasons(window_s)
    assert [f"stepped by {step_s:+.3g} s" in one for one in reasons] == [True] * is_invalid


def test_the_reading_that_was_not_interrupted_counts() -> None:
    """A process that loses its core between two readings of the clocks has seen no step."""
    monotonic_s = iter([0.0] * 6 + [1.0, 9.0, 10.0, 10.0, 11.0, 19.0])  # in pairs, around a reading of the other
    wall_s = iter([100.0] * 3 + [101.0, 110.0, 111.0])
    clock = WallClock(lambda: next(wall_s), lambda: next(monotonic_s))
    clock.update()
    assert clock.step_s == 0.0


def test_the_real_clocks_agree() -> None:
    clock = WallClock()
    clock.update()
    assert clock.reasons(1.0) == []
