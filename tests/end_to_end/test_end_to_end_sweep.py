"""`python -m sut sweep`, with real runs of the fake backend: rows, failures, interruptions, going on, the plot."""

from __future__ import annotations

import json
import os
import signal
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import Case, Command, Ended, Run, assert_refused, processes, wait_until

Sweep = Callable[..., Command]
QUICK = ("--backend", "fake", "--executor", "inline", "--test-query-count", 20)
SLOW = ("--backend", "fake", "--model", "fake:sleep_ms=50", "--max-batch-tokens", 200, "--test-query-count", 2000)


@pytest.fixture
def sweep(tmp_path: Path, case: Case) -> Sweep:
    """Starts `python -m sut sweep` on the case's data, its output in `out`."""
    same = [*case.data, "--user-conf", str(case.user_conf), "--output-dir", "out"]
    return lambda *args: Command(tmp_path, "sut", ["sweep", *same, *map(str, args)])


def lines(command: Command | Ended, name: str = "rows.jsonl") -> list[dict[str, Any]]:
    path = command.folder / "out" / name
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def png_size(path: Path) -> tuple[int, int]:
    """(width, height) in pixels, from the header that every PNG begins with."""
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert content[-8:-4] == b"IEND"
    return struct.unpack(">II", content[16:24])


def test_a_grid_is_interleaved_summarised_and_plotted(sweep: Sweep) -> None:
    pytest.importorskip("matplotlib")
    with sweep(*QUICK, "--set", "MAX_BATCH_TOKENS=400|800", "--repeat", 2) as command:
        ended = command.end()
    assert ended.code == 0, ended.err
    rows = lines(ended)
    assert [(row["point"]["max_batch_tokens"], row["repeat"]) for row in rows] == [
        (400, 1),
        (800, 1),
        (400, 2),
        (800, 2),
    ]
    for row in rows:
        record = ended.record(f"out/{row['log_dir']}")
        assert record["config"]["max_batch_tokens"] == row["point"]["max_batch_tokens"]
        assert record["result"]["value"] == row["figures"]["samples_per_s"]
        assert row["trial"] and any("fake backend" in notice for notice in row["notices"])
    speeds = [row["figures"]["samples_per_s"] for row in rows if row["point"] == {"max_batch_tokens": 800}]
    one, two = lines(ended, "summary.jsonl")
    assert two["figures"]["samples_per_s"]["median"] == pytest.approx(sum(speeds) / 2)
    assert one["verdicts"] == {"VALID": 2}
    assert min(png_size(ended.folder / "out" / "sweep.png")) > 300
    assert "fake backend: no model ran" in ended.out


def test_a_failure_is_a_row_and_the_sweep_goes_on(sweep: Sweep) -> None:
    with sweep(*QUICK, "--set", "model=fake:raise_at=1 fake") as command:
        ended = command.end()
    assert ended.code == 3
    failed, fine = lines(ended)
    assert (failed["exit_code"], failed["verdict"], failed["figures"]) == (3, "FAILED", {})
    assert "told to fail at batch 1" in failed["error"]
    assert fine["verdict"] == "VALID"
    assert "told to fail at batch 1" in ended.out


def test_a_killed_sweep_keeps_finished_runs_and_continues(sweep: Sweep) -> None:
    slow_second = ("--set", "model=fake fake:sleep_ms=100", "--max-batch-tokens", 200, "--test-query-count", 40)
    with sweep("--backend", "fake", *slow_second) as command:
        command.wait_until(lambda: len(lines(command)) == 1)
        os.kill(command.pid, signal.SIGKILL)
        wait_until(lambda: not processes(command.pid))  # its run has ended too
        before = lines(command)
    with (command.folder / "out" / "rows.jsonl").open("ab") as file:
        file.write(b'{"half a li')
    with sweep("--backend", "fake", *slow_second) as command:
        assert_refused(command.end(), "--resume")
    with sweep("--backend", "fake", "--set", "model=fake", "--instances", 2, "--resume") as command:
        assert_refused(command.end(), "no other settings")
    with sweep("--backend", "fake", *slow_second, "--resume") as command:
        ended = command.end()
    assert ended.code == 0, ended.err
    assert "[2/2]" in ended.err and "[1/2]" not in ended.err
    rows = lines(ended)
    assert rows[:1] == before and len(rows) == 2


def test_ctrl_c_ends_the_run_and_says_how_to_continue(sweep: Sweep) -> None:
    with sweep(*SLOW, "--set", "instances=1 2") as command:
        command.wait_until(lambda: list((command.folder / "out").glob("runs/*/run.json")))
        command.interrupt()
        ended = command.end()
        wait_until(lambda: not processes(command.pid))
    assert_refused(ended, "interrupted", code=3)
    assert "--resume" in ended.err
    assert lines(ended) == []


def test_a_dry_run_prints_every_command_and_makes_none(sweep: Sweep) -> None:
    with sweep(*QUICK, "--set", "threads=1 2", "--repeat", 2, "--dry-run") as command:
        ended = command.end()
    assert ended.code == 0
    printed = ended.out.splitlines()
    assert len(set(printed)) == 4
    assert all(line.startswith("python -m sut run --backend fake ") for line in printed)
    assert not list(ended.folder.iterdir())


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--set", "instnces=1"), "Did you mean instances"),
        (("--set", "instances=1", "--repeat", 0), "--repeat"),
        (("--set", "backend=fake", "--instances", 0), "--instances above 0"),
    ],
)
def test_bad_input_starts_nothing(refuse: Run, case: Case, args: tuple[object, ...], words: str) -> None:
    ended = refuse("sweep", *case.data, "--output-dir", "out", *args, with_case=False)
    assert_refused(ended, words)
    assert not list(ended.folder.iterdir())
