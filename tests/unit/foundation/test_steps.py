"""A step that takes long says so, on standard error; a short one, and standard output, say nothing."""

from __future__ import annotations

import io
import threading

import pytest

from foundation.steps import doing


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


def test_a_short_step_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    with doing("loading", patience_s=60.0):
        pass
    assert capsys.readouterr() == ("", "")


def test_what_fails_in_a_step_is_raised(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyError, match="here"), doing("loading", patience_s=60.0):
        raise KeyError("here")
