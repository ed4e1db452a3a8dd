"""A batch that is never answered fails the run; a slow one, an idle instance and a suspended run do not."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from sut.executors.base import Ready
from sut.running.stall_watch import StallWatch, limit_s
from sut.settings.resolve import resolve

FIRST, SECOND = object(), object()


def failed(seen: Sequence[object | None], step_s: float = 0.5) -> bool:
    """Whether a watch of 3 s fails that sees these oldest jobs, one each step."""
    watch = StallWatch(3.0)
    return any(watch.failure(job, 100.0 + number * step_s) for number, job in enumerate(seen))


@pytest.mark.parametrize(
    ("seen", "step_s", "fails"),
    [
        ([FIRST] * 7, 0.5, False),
        ([FIRST] * 8, 0.5, True),
        ([None] * 100, 0.5, False),
        ([FIRST] * 6 + [SECOND] * 6, 0.5, False),
        ([FIRST] * 6 + [None] + [FIRST] * 6, 0.5, False),
        ([FIRST] * 4, 1000.0, False),
        ([FIRST] * 5, 1000.0, True),
    ],
    ids=["slow", "never", "idle", "another batch", "idle between", "suspended", "suspended and never"],
)
def test_what_fails(seen: list[object | None], step_s: float, fails: bool) -> None:
    assert failed(seen, step_s) == fails


@pytest.mark.parametrize(
    ("batch_s", "given", "expected"), [(0.01, None, 60.0), (5.0, None, 40 * (5.0 + 1.0)), (5.0, 2.5, 2.5)]
)
def test_the_limit_follows_from_warm_up_unless_it_is_given(
    batch_s: float, given: float | None, expected: float
) -> None:
    config = resolve({"max_batch_tokens": 1000, "stall_timeout_s": given})
    ready = [Ready(1.0, 1.0, each, 1e-3, packed=True) for each in (0.001, batch_s)]
    assert limit_s(config, ready) == pytest.approx(expected)
