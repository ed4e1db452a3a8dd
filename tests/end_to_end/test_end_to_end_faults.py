"""Whatever breaks in mid-run, the run ends soon, says so once, is marked FAILED, and leaves no process behind.

The fake backend's script makes the faults that a backend can have; the others come from outside, as they do in life:
signals to an instance, to the terminal's processes, to the run itself, and a disk that fills.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command import LOGS, Case, Command, Run, assert_refused, processes, wait_until

from accuracy.__main__ import main as score_log

# A run of a minute and more, one short batch after the other; LoadGen's queries come at once, or 50 a second.
SLOW = "fake:sleep_ms=50"
LONG = ("--backend", "fake", "--max-batch-tokens", 200, "--test-query-count", 2000, "--target-qps", 50)
SCENARIOS = ("Offline", "SingleStream", "Server")
EXECUTORS = ("processes", "spawned")  # two instances of the fake: forked from a loader, or each for itself

Start = Callable[..., Command]


def assert_failed(command: Command, *words: str) -> None:
    """Wait for the end of a run that began and could not end, and look at all that it left."""
    ended = command.end()
    message = assert_refused(ended, "the run FAILED: ", "Its logs are in logs", *words, code=3)
    assert ended.record()["verdict"] == "FAILED"
    assert ended.record()["reasons"] == [message]
    assert ended.record()["submittable"] is False
    assert_no_verdict(command)
    assert "VALID" not in ended.out
    wait_until(lambda: not processes(command.pid))


def assert_no_verdict(command: Command) -> None:
    """LoadGen's own summary must not call such a run valid."""
    summary = command.folder / "logs" / LOGS[0]
    assert not summary.exists() or "VALID" not in summary.read_text(encoding="utf-8")


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize(
    ("script", "words"),
    (
        ("fake:sleep_ms=5,raise_at=3", ("RuntimeError", "told to fail at batch 3")),
        ("fake:sleep_ms=5,exit_at=3", ("instance-", "(pid ", "exit code 1")),  # of two, either may be first
    ),
    ids=("raises", "exits"),
)
def test_a_backend_that_breaks(start: Start, scenario: str, script: str, words: tuple[str, ...]) -> None:
    with start(*LONG, "--model", script, "--scenario", scenario) as command:
        assert_failed(command, *words)


@pytest.mark.parametrize(
    "executor",
    (("--executor", "inline"), ("--instances", 2), ("--instances", 2, "--executor", "spawned")),
    ids=("inline", "forked", "spawned"),
)
def test_a_backend_that_raises_elsewhere(start: Start, executor: tuple[str | int, ...]) -> None:
    with start(*LONG, "--model", "fake:raise_at=3", "--mode", "accuracy", *executor) as command:
        assert_failed(command, "told to fail at batch 3")


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_an_instance_that_is_killed(start: Start, scenario: str, executor: str) -> None:
    with start(*LONG, "--model", SLOW, "--scenario", scenario, "--instances", 2, "--executor", executor) as command:
        command.wait_for_run()
        assert len(command.loaders()) == (2 if executor == "processes" else 0)
        victim = max(command.instances())
        os.kill(victim, signal.SIGKILL)
        assert_failed(command, f"(pid {victim})", "SIGKILL")


def test_a_loader_that_is_killed(start: Start) -> None:
    with start(*LONG, "--model", SLOW, "--instances", 2) as command:
        command.wait_for_run()
        loader = command.loaders()[0]
        os.kill(loader, signal.SIGKILL)
        assert_failed(command, f"loader of instance-0, instance-1 (pid {loader})", "SIGKILL")


def test_an_instance_killed_by_a_signal_without_a_name(start: Start) -> None:
    with start(*LONG, "--model", SLOW) as command:
        command.wait_for_run()
        os.kill(command.instances()[0], signal.SIGRTMIN + 1)
        assert_failed(command, "instance-0", f"signal {signal.SIGRTMIN + 1}")


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_ctrl_c(start: Start, scenario: str) -> None:
    with start(*LONG, "--model", SLOW, "--scenario", scenario, "--instances", 2) as command:
        command.wait_for_run()
        command.interrupt()
        assert_failed(command, "interrupted")


def test_ctrl_c_pressed_over_and_over(start: Start) -> None:
    with start(*LONG, "--model", SLOW, "--instances", 2) as command:
        command.wait_for_run()
        for _ in range(3):
            command.interrupt()
            wait_until(lambda: command.is_over() or not pending(command.pid, signal.SIGINT))
        assert_failed(command, "interrupted")


def pending(pid: int, number: signal.Signals) -> bool:
    """A signal that was sent has not been taken yet."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return False
    masks = [int(line.split()[1], 16) for line in status.splitlines() if line.startswith(("SigPnd:", "ShdPnd:"))]
    return any(mask >> (number - 1) & 1 for mask in masks)


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("mapped", (b"", b"numpy"), ids=("at once", "among their imports"))
def test_ctrl_c_while_instances_start(start: Start, mapped: bytes, executor: str) -> None:
    with start(*LONG, "--model", SLOW, "--instances", 2, "--executor", executor) as command:
        command.wait_until(lambda: any(mapped in command.maps(pid) for pid in command.instances()))
        command.interrupt()
        assert_refused(command.end(), "interrupted", code=3)
        wait_until(lambda: not processes(command.pid))


@pytest.mark.parametrize("executor", ("inline", "processes"))
def test_ctrl_c_during_the_last_batches_leaves_nothing_that_looks_valid(start: Start, executor: str) -> None:
    flags = ("--backend", "fake", "--model", "fake:sleep_ms=700", "--test-query-count", 2, "--max-batch-tokens", 1)
    with start(*flags, "--executor", executor) as command:
        command.wait_for_run()
        command.interrupt()
        assert_failed(command, "interrupted")


def test_a_batch_that_never_ends(start: Start) -> None:
    with start(*LONG, "--model", "fake:hang_at=3", "--executor", "inline", "--stall-timeout-s", 3) as command:
        assert_failed(command, "an instance hangs", "--stall-timeout-s")


def test_a_loader_that_is_stopped(start: Start) -> None:
    with start(*LONG, "--instances", 2, "--stall-timeout-s", 2) as command:
        command.wait_until(lambda: bool(command.instances()))
        os.kill(command.instances()[0], signal.SIGSTOP)
        assert_refused(command.end(), "instance-0 (its loader has pid", "to load and warm up within 2 s", code=3)
        wait_until(lambda: not processes(command.pid))


@pytest.mark.parametrize("number", (signal.SIGTERM, signal.SIGHUP))
def test_another_interrupt(start: Start, number: signal.Signals) -> None:
    with start(*LONG, "--model", SLOW) as command:
        command.wait_for_run()
        os.killpg(command.pid, number) if number == signal.SIGHUP else os.kill(command.pid, number)
        assert_failed(command, "interrupted")


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("script", (SLOW, "fake:hang_at=1"), ids=("at work", "in an endless batch"))
def test_a_run_that_is_killed_takes_its_instances_along(start: Start, script: str, executor: str) -> None:
    with start(*LONG, "--model", script, "--instances", 2, "--executor", executor) as command:
        command.wait_for_run()
        assert len(command.instances()) == 2
        os.kill(command.pid, signal.SIGKILL)
        ended = command.end()
        wait_until(lambda: not processes(command.pid))
    assert ended.record()["verdict"] == "unfinished" and ended.record()["submittable"] is False
    assert_no_verdict(command)


def test_ctrl_c_after_the_verdict_changes_nothing(start: Start) -> None:
    with start("--backend", "fake", "--mode", "accuracy", "--log-dir", "logs") as command:
        record = command.folder / "logs" / "run.json"
        command.wait_until(lambda: record.is_file() and "SCORED" in record.read_text(encoding="utf-8"))
        command.interrupt()
        ended = command.end()
        assert (ended.code, ended.errors, ended.record()["verdict"]) == (0, [], "SCORED")
        assert "score" in ended.out


def test_what_fails_after_the_last_query_can_still_be_scored(start: Start, tmp_path: Path) -> None:
    (tmp_path / "work" / "logs" / "predictions.json").mkdir(parents=True)
    with start("--backend", "fake", "--mode", "accuracy", "--log-dir", "logs") as command:
        ended = command.end()
        message = assert_refused(ended, "FAILED after its last query: ", "Is a directory", code=3)
        assert (ended.record()["verdict"], ended.record()["reasons"]) == ("FAILED", [message])
        _, _, words = message.partition("To score its log, type: python -m accuracy ")
        (ended.folder / "logs" / "accuracy.txt").unlink()
        log = ended.folder / "logs" / "mlperf_log_accuracy.json"
        assert score_log([*shlex.split(words), "--log-file", str(log)]) == 0
        assert '"f1"' in (ended.folder / "logs" / "accuracy.txt").read_text(encoding="utf-8")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a small disk of the given size."""
    at = tmp_path / "disk"

    def mount(size: str) -> Path:
        at.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(at)], capture_output=True, check=False
        )
        if done.returncode:
            pytest.skip(f"no disk can be mounted here: {done.stderr.decode().strip()}")
        return at

    if os.geteuid() != 0:
        pytest.skip("only root can mount a disk that fills")
    yield mount
    subprocess.run(["umount", str(at)], capture_output=True, check=False)


def test_a_disk_without_room_is_seen_before_the_run(run: Run, disk: Callable[[str], Path]) -> None:
    at = disk("1m")
    ended = run("--backend", "fake", "--model", "fake", "--log-dir", at / "logs")
    assert_refused(ended, "MiB of disk", "--log-dir")
    assert not (at / "logs" / "run.json").exists()


@pytest.mark.parametrize("mode", ("performance", "accuracy"))
def test_a_disk_that_fills_in_mid_run(start: Start, case: Case, disk: Callable[[str], Path], mode: str) -> None:
    at = disk("36m")
    logs = at / "logs"
    script = ("--backend", "fake", "--model", SLOW, "--max-batch-tokens", 200, "--scenario", "Offline")
    count = ("--test-query-count", case.samples) if mode == "performance" else ()
    with start(*script, *count, "--mode", mode, "--log-dir", logs) as command:
        command.wait_until(lambda: (logs / "run.json").is_file() and command.instances())
        fill(at / "filler")
        ended = command.end()
        assert_refused(ended, "logs", code=3)
        assert "VALID" not in ended.out
        wait_until(lambda: not processes(command.pid))


def fill(path: Path) -> None:
    """Take all the room that the disk has, to the last byte."""
    with path.open("wb", buffering=0) as file:
        for block in (1 << 20, 1 << 12, 1):
            try:
                while file.write(b"\0" * block):
                    pass
            except OSError:
                continue
