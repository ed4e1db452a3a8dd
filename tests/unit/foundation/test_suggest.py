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
        ("Sevrer", "Server"),
        ("x", None),
        ("", None),
    ],
)
def test_nearest(word: str, found: str | None) -> None:
    assert nearest(word, KNOWN) == found
    assert did_you_mean(word, KNOWN) == (f" Did you mean {found}?" if found else "")


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("--modle", "--model"),  # as similar to --mode, which lacks a letter
        ("--mdoe", "--mode"),
        ("--modes", "--mode"),
        ("--min-duration", "--min-duration-s"),
        ("--latency", "--target-latency-ms"),
    ],
)
def test_swapped_letters_are_one_slip(word: str, found: str) -> None:
    assert nearest(word, ("--mode", "--model", "--node", "--min-duration-s", "--target-latency-ms")) == found


def test_how_similar_is_the_callers_choice() -> None:
    assert nearest("off", KNOWN) == "Offline"
    assert nearest("off", KNOWN, similar=0.8) is None
    assert nearest("off", []) is None
