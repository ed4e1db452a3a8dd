"""Descriptions of commands on narrow terminals."""

from __future__ import annotations

import argparse

import pytest

from foundation.help_formatter import HelpFormatter

COMMAND = "    python -m command --with many --words that --are longer --than a --narrow terminal"
TEXT = f"Does something.\n\n{COMMAND}\n\n" + "One sentence after the other, and each of them\nhas words. " * 3


def test_text_is_wrapped_and_commands_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    shown = argparse.ArgumentParser(description=TEXT, formatter_class=HelpFormatter).format_help()
    assert COMMAND in shown
    others = [line for line in shown.splitlines() if line != COMMAND]
    assert max(map(len, others)) <= 60
    assert "and each of them has words. One sentence" in " ".join(" ".join(others).split())
