"""The nearest known word, or none."""

from __future__ import annotations

import pytest

from foundation.suggest import did_you_mean, nearest

KNOWN = ("Offline", "Server", "SingleStream", "MultiStream")


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("Ofline", "Offline"),
        ("OFFLINE", "Offline"),
        ("server ", "Server"),
        ("stream", "MultiStream"),
        ("x", None),
        ("", None),
    ],
)
def test_nearest(word: str, found: str | None) -> None:
    assert nearest(word, KNOWN) == found
    assert did_you_mean(word, KNOWN) == (f" Did you mean {found}?" if found else "")


def test_how_similar_is_the_callers_choice() -> None:
    assert nearest("off", KNOWN) == "Offline"
    assert nearest("off", KNOWN, similar=0.8) is None
    assert nearest("off", []) is None
