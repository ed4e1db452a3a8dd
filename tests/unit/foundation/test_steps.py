"""A step that takes long says so, on standard error; a short one, and standard output, say nothing."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import pytest

from foundation.step_times import StepTimes
from foundation.steps import doing, state


class Lines(io.StringIO):
    """A text stream that says when something was written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = threading.Event()

    def flush(self) -> None:
        self.written.set()


def test_a_long_step_is_named_while_it_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Lines()
    monkeypatch.setattr("sys.stderr", shown)
    with doing("loading", patience_s=0.0):
        assert shown.written.wait(10)
        assert shown.getvalue() == "loading\n"
    assert shown.getvalue() == "loading\nloading: took 0:00\n"


@pytest.mark.parametrize(
    ("part", "passed_s", "expected_s", "shown"),
    [
        ("", 0.0, None, "loading"),
        ("", 12.0, None, "loading, 0:12"),
        ("layer 3 of 24", 12.0, 33.0, "loading: layer 3 of 24, 0:12, about 0:21 left"),
        ("", 40.0, 33.0, "loading, 0:40, it took 0:33 before"),
    ],
)
def test_a_state_says_how_long_it_may_take(part: str, passed_s: float, expected_s: float | None, shown: str) -> None:
    assert state("loading", part, passed_s, expected_s) == shown


def test_how_long_a_step_takes_is_the_median_of_its_last_times_here(tmp_path: Path) -> None:
    times = StepTimes(tmp_path)
    assert times.expected_s("load", "demo") is None
    for seconds in (900.0, 31.0, 35.0, 33.0, 34.0, 32.0):
        times.add(seconds, "load", "demo")
    assert times.expected_s("load", "demo") == 33.0 and times.expected_s("load", "other") is None
    next(tmp_path.rglob("*.json")).write_text("[null]")
    assert times.expected_s("load", "demo") is None


def test_a_step_that_fails_leaves_no_time(tmp_path: Path) -> None:
    with pytest.raises(KeyError), StepTimes(tmp_path).doing("loading", "load"):
        raise KeyError
    with StepTimes(tmp_path).doing("loading", "build"):
        pass
    assert StepTimes(tmp_path).expected_s("load") is None and StepTimes(tmp_path).expected_s("build") is not None


def test_times_that_cannot_be_kept_are_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with StepTimes(tmp_path / "file").doing("loading", "load"):
        pass


def test_a_short_step_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    with doing("loading", patience_s=60.0):
        pass
    assert capsys.readouterr() == ("", "")


def test_what_fails_in_a_step_is_raised(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyError, match="here"), doing("loading", patience_s=60.0):
        raise KeyError("here")
