"""`python -m sut submit`, as a user types it: the same package after any interruption, and what is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from command import Case, Command, Run, assert_refused, processes, wait_until
from submitted import TRIAL, out, rows, to_the_end

from submission.submit.plan import ACCURACY, PERFORMANCE, PROBE

# Batches long enough to interrupt a run in the middle, and short enough not to delay the tests.
FAKE = (*TRIAL, "--scenarios", "Offline", "--backend", "fake", "--model", "fake:sleep_ms=60", "--instances", 1)
QUICK = (*FAKE, "--model", "fake:sleep_ms=2")
Submit = Callable[..., Command]


@pytest.fixture
def submit(tmp_path: Path, case: Case) -> Submit:
    """Starts `python -m sut submit` on the small data set."""
    flags = [*case.data, "--user-conf", str(case.user_conf)]
    return lambda *args: Command(tmp_path, "sut", ["submit", *flags, *map(str, args)])


# Each kind of run is interrupted, and killed where most is at stake: what is kept is decided in one place for both.
@pytest.mark.parametrize(
    ("kind", "ending"),
    [(PROBE, signal.SIGINT), (ACCURACY, signal.SIGKILL), (PERFORMANCE, signal.SIGINT), (PERFORMANCE, signal.SIGKILL)],
)
def test_an_interrupted_submission_is_resumed_and_repeats_nothing(
    submit: Submit, kind: str, ending: signal.Signals
) -> None:
    with submit(*FAKE) as command:
        runs = command.folder / "out" / "runs" / "Offline"
        command.wait_until((runs / f"{kind}.part" / "run.json").is_file)
        done = finished(runs)
        if ending == signal.SIGINT:
            command.interrupt()
        else:
            os.kill(command.pid, signal.SIGKILL)
        ended = command.end()
        assert ended.code == (3 if ending == signal.SIGINT else -signal.SIGKILL)
        assert finished(runs) == done and not (runs / kind).exists()
        assert not out(ended, "mlperf_submission.tar.gz").exists()
        resumed = to_the_end(submit(*FAKE, "--resume"))  # at once: it waits for what is left of the other
        wait_until(lambda: not processes(command.pid))
    assert resumed.code == 0, resumed.err
    assert ".part" not in resumed.out and "runs: out/runs" in resumed.out
    assert list(done) == [PROBE, ACCURACY, PERFORMANCE][: len(done)]
    assert {name: finished(runs)[name] for name in done} == done
    assert [row["Scenario"] for row in rows(resumed)] == ["Offline"]
    packed = out(resumed, "mlperf_submission.tar.gz").read_bytes()
    again = to_the_end(submit(*FAKE, "--resume"))
    assert again.code == 0 and out(again, "mlperf_submission.tar.gz").read_bytes() == packed


def finished(runs: Path) -> dict[str, str]:
    """The record of each finished run, which has its start in it."""
    return {
        kind: (runs / kind / "step.json").read_text()
        for kind in (PROBE, ACCURACY, PERFORMANCE)
        if (runs / kind / "step.json").is_file()
    }


def test_another_request_is_not_mixed_with_the_runs_of_the_first(submit: Submit) -> None:
    assert to_the_end(submit(*QUICK)).code == 0
    assert_refused(to_the_end(submit(*QUICK)), "--resume", "--clean")
    assert_refused(to_the_end(submit(*QUICK, "--resume", "--round", "v6.0")), "round", "v6.0")
    ended = to_the_end(submit(*QUICK, "--clean", "--round", "v6.0"))
    assert ended.code == 0 and [row["version"] for row in rows(ended)] == ["v6.0"]


def test_a_dry_run_shows_the_plan_and_leaves_nothing(submit: Submit) -> None:
    ended = to_the_end(submit(*FAKE, "--dry-run"))
    assert ended.code == 0
    assert "Offline accuracy" in ended.out and "Offline performance" in ended.out
    assert not out(ended).exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--short", "--division", "closed"], ["--short", "--division open"]),
        (["--division", "closed", "--scenarios", "Offline"], ["SingleStream and Offline"]),
        (["--category", "datacenter"], ["--category edge", "datacenter"]),
        (["--round", "v4.1"], ["v6.1", "v4.1"]),
        (["--submitter", "Demo Org"], ["--submitter", "Demo Org"]),
        (["--backend", "fake"], ["runs a model", "fake", "--short"]),
        (["--model", "random:bert-tiny"], ["trained model", "--short"]),
        ([], ["10,833", "--short"]),
        (["--scenario", "Offline"], ["--scenario", "Remove it", "--scenarios lists"]),
        (["--short", "--submittr", "X"], []),
        (["--resume", "--clean"], ["--resume", "--clean"]),
        (["--short", "--system-toml", "none.toml"], ["none.toml", "--system-toml"]),
    ],
)
def test_invalid_requests_are_refused_before_any_run(
    refuse: Run, case: Case, flags: list[str], words: list[str]
) -> None:
    data = (*case.data, "--user-conf", case.user_conf)
    ended = refuse("submit", *data, "--submitter", "DemoOrg", "--output-dir", "out", *flags, with_case=False)
    if words:
        assert_refused(ended, *words)
    assert ended.code == 2 and not ended.runs


def test_the_command_for_a_demo_set_of_the_required_size_is_named(tmp_path: Path) -> None:
    command = Command(tmp_path, "sut", ["submit", "--submitter", "X", "--output-dir", "out", "--cache-dir", "cache"])
    message = assert_refused(to_the_end(command), "10,833", "1,255", "--dataset demo-10833.json")
    assert "python -m qsl.demo dev demo-10833.json --questions 10515" in message


def test_a_directory_that_cannot_be_made_is_one_error(submit: Submit, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert_refused(to_the_end(submit(*FAKE, "--output-dir", tmp_path / "file" / "out")), "--output-dir")


def test_a_full_disk_is_one_error(submit: Submit, tmp_path: Path) -> None:
    at = tmp_path / "disk"
    at.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(at)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        assert_refused(to_the_end(submit(*FAKE, "--output-dir", at / "out")), "MiB of disk", "--output-dir")
    finally:
        subprocess.run(["umount", str(at)], capture_output=True, check=False)


def test_a_run_that_fails_stops_the_submission_and_is_reported_once(submit: Submit) -> None:
    ended = to_the_end(submit(*FAKE, "--model", "fake:raise_at=1"))
    assert_refused(ended, "told to fail", code=3)
    assert "--resume" in ended.err


def test_the_replay_backend_gives_the_accuracy_of_the_run_that_it_replays(run: Run, case: Case, tmp_path: Path) -> None:
    assert run("--mode", "accuracy", module="sut").code in (0, 1)
    assert run("logs", "answers.npz", module="submission.submit.rehearsal").code == 0
    f1 = json.loads((tmp_path / "work" / "logs" / "run.json").read_text())["result"]["f1"]
    flags = ["submit", *TRIAL, "--json", *case.data, "--backend", "replay", "--model", "replay:answers.npz,sample_ms=2"]
    ended = run(*flags, "--scenarios", "Offline", "--test-query-count", case.samples, with_case=False)
    assert ended.code == 0, ended.err
    assert [row["Accuracy"] for row in rows(ended)] == [f1]
    printed = json.loads(ended.out)  # nothing else is on standard output
    assert [one["f1"] for one in printed["results"]] == [f1] and printed["check"]["holds"]
    assert printed["package"] == "out/mlperf_submission.tar.gz" and "[1/2] Offline accuracy" in ended.err
    assert "no model ran" in out(ended, "mlperf_submission_summary.csv").read_text()
