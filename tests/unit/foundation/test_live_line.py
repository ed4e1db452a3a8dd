"""A live line is overwritten in place, fits its columns, and is a line now and then where there is no terminal."""

from __future__ import annotations

import pytest

from foundation import live_line
from foundation.live_line import LiveLine


@pytest.mark.parametrize(
    ("share", "columns", "shown"),
    [
        (None, 40, "12 samples"),
        (0.5, 40, "━━━━━━━━━━────────── 12 samples"),
        (0.25, 19, "━━────── 12 samples"),
        (1.5, 17, "━━━━━━ 12 samples"),
        (0.5, 15, "12 samples"),  # no room for a bar
        (0.5, 6, "12 sam"),
    ],
)
def test_a_state_fits_its_columns(share: float | None, columns: int, shown: str) -> None:
    assert live_line.fitted("12 samples", share, columns) == shown


def test_who_asks_for_a_live_line_gets_states_that_replace_each_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(live_line.WIDTH, "30")
    monkeypatch.setattr(live_line, "_LIVE_S", 0.0)
    line = LiveLine(wait_s=60.0)
    line.update("12 samples\n")
    line.update("13", share=1.0)
    line.end()
    first, second, last = capsys.readouterr().err.split("\r")[:3]
    assert (first, second, last.strip()) == ("12 samples\\n", "━━━━━━━━━━━━━━━━━━━━ 13", "") and len(last) == 23


def test_without_a_terminal_states_are_rare(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(live_line.WIDTH, raising=False)
    late, early = LiveLine(wait_s=60.0), LiveLine()
    for number in range(3):
        late.update(f"late {number}")
        early.update(f"early {number}", share=0.5)
    early.end()
    assert capsys.readouterr().err == "early 0\n"
