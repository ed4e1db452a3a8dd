"""How an error of an instance reaches the main process."""

from __future__ import annotations

import traceback
from multiprocessing import Pipe

import pytest

from backends.errors import BackendError
from sut.errors import RunFailedError
from sut.executors.instance import portable


class UnpickledError(Exception):
    def __init__(self, text: str, handle: object) -> None:
        super().__init__(text)


def sent(error: Exception) -> Exception:
    """What the main process gets for an error that was raised here."""
    with pytest.raises(type(error)) as raised:
        raise error
    ours, theirs = Pipe()
    with ours, theirs:
        theirs.send(portable(raised.value))
        found = ours.recv()
    assert isinstance(found, Exception)
    return found


def test_a_defect_of_ours_brings_its_traceback_along() -> None:
    shown = "".join(traceback.format_exception(sent(ValueError("three rows"))))
    assert shown.startswith("ValueError: three rows") and "in sent" in shown and "raise error" in shown


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (BackendError("no GPU"), BackendError("no GPU")),
        (UnpickledError("text", lambda: None), RunFailedError("UnpickledError: text")),
    ],
)
def test_a_users_error_and_one_that_cannot_be_sent_are_one_message(error: Exception, expected: Exception) -> None:
    found = sent(error)
    assert (type(found), str(found)) == (type(expected), str(expected))
    assert "".join(traceback.format_exception(found)).count("\n") == 1
