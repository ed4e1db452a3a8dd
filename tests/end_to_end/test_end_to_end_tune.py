"""`python -m sut tune`, with real runs of the fake backend: killed, continued, and what it leaves for other verbs."""

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
TUNE = ("tune", *FIXED, "--set", "model=fake:sleep_ms=30 fake", "--output-dir", "out", "--minutes", "0.2")


def rows(folder: Path) -> list[str]:
    path = folder / "out" / "rows.jsonl"
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def start(tmp_path: Path, case: Case, *more: str) -> Command:
    return Command(tmp_path, "sut", [*TUNE, *case.data, "--user-conf", str(case.user_conf), *more])


@pytest.fixture
def resumed(tmp_path: Path, case: Case, refuse: Run) -> Ended:
    with start(tmp_path, case) as command:
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


def test_a_killed_tuning_goes_on_and_its_best_settings_run(resumed: Ended, run: Run, case: Case) -> None:
    found = tomllib.loads((resumed.folder / "out" / "best.toml").read_text(encoding="utf-8"))
    assert (found["backend"], found["model"], found["max_batch_tokens"]) == ("fake", "fake", 800)
    assert "min_duration_s" not in found and "test_query_count" not in found
    assert "▶" in resumed.out and "no model ran" in resumed.out
    assert "python -m sut submit" in resumed.out
    (record,) = (json.loads(path.read_text()) for path in case.cache.glob("tuned/*.json"))
    assert (record["scenario"], record["given"]["model"]) == ("Offline", "fake")
    best = resumed.folder / "out" / "best.toml"
    ended = run("--config", best, "--instances", 1, "--log-dir", "logs", "--test-query-count", 20, with_case=False)
    assert ended.code == 0, ended.err
    assert ended.record()["config"]["model"] == "fake"


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
