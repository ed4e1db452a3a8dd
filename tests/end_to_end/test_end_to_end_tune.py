"""`python -m sut tune`, with real runs of the fake backend: interrupted, killed, continued; its best settings."""

from __future__ import annotations

import json
import os
import signal
import tomllib
from pathlib import Path

import pytest
from command import Case, Command, Ended, Run, assert_refused, processes, wait_until

# One level with two values; one slow and one fast.
FIXED = ("--backend", "fake", "--executor", "inline", "--instances", "1", "--max-batch-tokens", "800")
FAST = "fake:sleep_ms=5"
TUNE = ("tune", *FIXED, "--set", f"model=fake:sleep_ms=50 {FAST}", "--output-dir", "out", "--minutes", "0.4")


def rows(folder: Path) -> list[str]:
    path = folder / "out" / "rows.jsonl"
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def start(tmp_path: Path, case: Case, *more: str) -> Command:
    return Command(tmp_path, "sut", [*TUNE, *case.data, "--user-conf", str(case.user_conf), *more])


@pytest.fixture
def resumed(tmp_path: Path, case: Case, refuse: Run) -> Ended:
    with start(tmp_path, case) as command:
        command.wait_until(lambda: list(command.folder.glob("out/runs/*")))
        command.interrupt()
        interrupted = command.end()
    assert interrupted.code == 3 and "--resume --output-dir out" in interrupted.err
    with start(tmp_path, case, "--resume") as command:
        command.wait_until(lambda: len(rows(command.folder)) == 1)
        os.kill(command.pid, signal.SIGKILL)
        wait_until(lambda: not processes(command.pid))
        before = rows(command.folder)
    assert_refused(refuse(*TUNE, *case.data, with_case=False), "found a tuning", "--resume")
    with start(tmp_path, case, "--resume") as command:
        ended = command.end()
    assert ended.code == 0, ended.err
    assert rows(ended.folder)[: len(before)] == before and len(rows(ended.folder)) > len(before)
    return ended


def test_a_tuning_goes_on_after_ctrl_c_and_a_kill_and_its_best_settings_run(
    resumed: Ended, run: Run, case: Case
) -> None:
    found = tomllib.loads((resumed.folder / "out" / "best.toml").read_text(encoding="utf-8"))
    assert (found["backend"], found["model"], found["max_batch_tokens"]) == ("fake", FAST, 800)
    assert "min_duration_s" not in found and "test_query_count" not in found
    assert "▶" in resumed.out and "no model ran" in resumed.out
    assert "python -m sut submit" in resumed.out
    (record,) = (json.loads(path.read_text()) for path in case.cache.glob("tuned/*.json"))
    assert (record["scenario"], record["given"]["model"]) == ("Offline", FAST)
    best = resumed.folder / "out" / "best.toml"
    ended = run("--config", best, "--instances", 1, "--log-dir", "logs", "--test-query-count", 20, with_case=False)
    assert ended.code == 0, ended.err
    assert ended.record()["config"]["model"] == FAST


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--minutes", "nan"), "--minutes"),
        (("--log-dir", "logs"), "Logs go below --output-dir"),
        (("--set", "steps=1 2"), "`tune` sets steps"),
        (("--executor", "ray"), "--executor ray"),
        (("--target", "bert-98"), "bert-99"),
        (("--resume",), "--output-dir"),
    ],
    ids=("minutes", "log-dir", "set", "executor", "target", "resume"),
)
def test_bad_input_starts_nothing(refuse: Run, case: Case, args: tuple[str, ...], words: str) -> None:
    ended = refuse("tune", *case.data, "--backend", "onnxruntime", *args, with_case=False)
    assert_refused(ended, words)
    assert ended.runs == []
