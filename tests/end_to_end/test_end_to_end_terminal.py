"""What a person sees: help at once, a live line on a terminal, and plain text elsewhere."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

from command import PATIENCE_S, SCENARIOS, Case, Run
from paths import ROOT


def test_help_names_the_scenarios(run: Run) -> None:
    ended = run("--help")
    assert ended.code == 0 and ended.err == ""
    assert all(scenario in ended.out for scenario in SCENARIOS)


def on_a_terminal(args: list[str], folder: Path) -> tuple[int, str]:
    """Exit code and all that reached the terminal."""
    ours, theirs = pty.openpty()
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "COLUMNS": "100"}
    command = [sys.executable, "-m", "sut", *args]
    with subprocess.Popen(command, cwd=folder, env=env, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        seen = b""
        try:
            while chunk := os.read(ours, 65536):
                seen += chunk
        except OSError:  # Linux's way to say that the other side is closed
            pass
        finally:
            os.close(ours)
        return process.wait(PATIENCE_S), seen.decode(errors="replace")


def test_a_terminal_shows_a_live_line(case: Case, tmp_path: Path) -> None:
    slow = ["--backend", "fake", "--model", "fake:sleep_ms=20", "--max-batch-tokens", "300"]
    code, seen = on_a_terminal([*case.flags, *slow, "--test-query-count", "60"], tmp_path)
    assert code == 0, seen
    assert "samples/s" in seen and "left" in seen
    assert "\x1b[" in seen  # the line is drawn over and over
    assert "VALID" in seen and "not submittable" in seen


def test_without_a_terminal_there_are_no_escape_sequences(run: Run) -> None:
    slow = ("--backend", "fake", "--model", "fake:sleep_ms=20", "--max-batch-tokens", 300)
    ended = run(*slow, "--test-query-count", 60)
    assert ended.code == 0 and "VALID" in ended.out
    assert "\x1b" not in ended.out + ended.err and "\r" not in ended.out + ended.err


def test_the_table_goes_to_standard_output_and_the_rest_does_not(run: Run) -> None:
    ended = run("--backend", "fake", "--model", "fake", "--test-query-count", 60)
    assert ended.out.startswith("result") and "samples/s" in ended.out
    assert "Offline performance" in ended.err and "Offline performance" not in ended.out
