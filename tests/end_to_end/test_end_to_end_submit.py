"""`python -m sut submit`, as a user types it: a whole package, and the same package after any interruption."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import signal
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import Case, Command, Ended, Run, assert_refused, processes, wait_until
from openpyxl import load_workbook

from submission.package.summary import FIELDS
from submission.submit.plan import ACCURACY, PERFORMANCE, PROBE

PACKAGE = [
    "mlperf_submission.md",
    "mlperf_submission.run",
    "mlperf_submission.tar.gz",
    "mlperf_submission.tar.gz.sha256",
    "mlperf_submission.tstamps",
    "mlperf_submission_summary.csv",
    "mlperf_submission_summary.json",
    "mlperf_submission_summary.xlsx",
]
TRIAL = ("--short", "--submitter", "DemoOrg", "--output-dir", "out")
# Batches so long that a run is interrupted in its midst, and so short that nobody waits.
FAKE = (*TRIAL, "--scenarios", "Offline", "--backend", "fake", "--model", "fake:sleep_ms=60", "--instances", 1)
Submit = Callable[..., Command]


@pytest.fixture
def submit(tmp_path: Path, case: Case) -> Submit:
    """Starts `python -m sut submit` on the small data set."""
    flags = [*case.data, "--user-conf", str(case.user_conf)]
    return lambda *args: Command(tmp_path, "sut", ["submit", *flags, *map(str, args)])


def to_the_end(command: Command) -> Ended:
    with command:
        return command.end()


def out(ended: Ended, name: str = "") -> Path:
    return ended.folder / "out" / name


def rows(ended: Ended) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(out(ended, "mlperf_submission_summary.json").read_text())
    return found


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """A trial of the embedded demo."""
    folder = tmp_path_factory.mktemp("trial")
    count = ("--test-query-count", "64", "--cache-dir", str(folder / "cache"))
    return to_the_end(Command(folder, "sut", ["submit", *TRIAL, *count, "--round", "v5.1"]))


def test_a_trial_of_the_demo_has_every_file_and_passes_the_checks(trial: Ended, run: Run) -> None:
    assert trial.code == 0, trial.err
    assert "OK as a trial" in trial.out
    assert sorted(path.name for path in out(trial).glob("mlperf_submission*") if path.is_file()) == PACKAGE
    for path in (out(trial), out(trial, "mlperf_submission"), out(trial, "mlperf_submission.tar.gz")):
        assert run("check", path, "--round", "v5.1", with_case=False).code == 0


def test_the_tarball_is_the_tree_and_its_sha256_is_right(trial: Ended) -> None:
    packed = out(trial, "mlperf_submission.tar.gz").read_bytes()
    assert out(trial, "mlperf_submission.tar.gz.sha256").read_text().split() == [
        hashlib.sha256(packed).hexdigest(),
        "mlperf_submission.tar.gz",
    ]
    tree = out(trial, "mlperf_submission")
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        found = {name: member.read() for name in tar.getnames() if (member := tar.extractfile(name))}
    assert found == {str(path.relative_to(tree)): path.read_bytes() for path in tree.rglob("*") if path.is_file()}
    assert "TRIAL.md" in found


def test_the_three_summaries_have_the_27_fields_and_agree(trial: Ended) -> None:
    found = rows(trial)
    assert len(FIELDS) == 27
    assert [row["Scenario"] for row in found] == ["Offline", "SingleStream"]
    assert all(list(row) == FIELDS and row["Organization"] == "DemoOrg" and row["version"] == "v5.1" for row in found)
    assert all(row["Result"] > 0 and 0 < row["Accuracy"] <= 100 for row in found)
    with out(trial, "mlperf_submission_summary.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == [{name: str(value) for name, value in row.items()} for row in found]
    head, *body = load_workbook(out(trial, "mlperf_submission_summary.xlsx")).active.iter_rows(values_only=True)
    assert [
        {name: value or "" if isinstance(row[name], str) else value for name, value in zip(head, line, strict=True)}
        for row, line in zip(found, body, strict=True)
    ] == found


def test_every_output_says_that_it_is_a_trial(trial: Ended) -> None:
    marked = [
        *PACKAGE[:2],
        "mlperf_submission.tstamps",
        "mlperf_submission_summary.csv",
        "mlperf_submission_summary.json",
    ]
    tree = out(trial, "mlperf_submission")
    texts = [out(trial, name) for name in marked] + [
        path for name in ("README.md", "accuracy.txt", "*.json") for path in tree.glob(f"open/DemoOrg/[rm]*/**/{name}")
    ]
    texts = [path for path in texts if path.name != "mlperf_log_accuracy.json"]
    assert len(texts) > 10
    for path in texts:
        assert "TRIAL" in path.read_text(), path
    assert "TRIAL" in trial.out


def test_the_commands_and_times_are_those_of_the_runs(trial: Ended) -> None:
    commands = [
        line for line in out(trial, "mlperf_submission.run").read_text().splitlines() if not line.startswith("#")
    ]
    assert len(commands) == 1 + 2 * 3
    assert all(line.startswith("python -m sut ") for line in commands)
    lines = [line for line in out(trial, "mlperf_submission.tstamps").read_text().splitlines() if line[0] != "#"]
    assert [line.split()[0] for line in lines] == [
        "Offline-probe", "SingleStream-probe", "Offline-accuracy", "SingleStream-accuracy",
        "Offline-performance", "SingleStream-performance",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["", "mlperf_submission", "mlperf_submission.tar.gz"])
def test_show_tells_what_is_in_it(trial: Ended, run: Run, name: str) -> None:
    ended = run("show", out(trial, name), with_case=False)
    assert ended.code == 0
    for words in ("2 results", "TRIAL", "Offline", "SingleStream", "round v5.1", "model.safetensors", "F1"):
        assert words in ended.out


@pytest.mark.parametrize("kind", [PROBE, ACCURACY, PERFORMANCE])
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
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


def test_another_order_is_not_mixed_with_the_runs_of_the_first(submit: Submit) -> None:
    assert to_the_end(submit(*FAKE)).code == 0
    assert_refused(to_the_end(submit(*FAKE)), "--resume", "--clean")
    assert_refused(to_the_end(submit(*FAKE, "--resume", "--round", "v6.0")), "round", "v6.0")
    ended = to_the_end(submit(*FAKE, "--clean", "--round", "v6.0"))
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
def test_what_cannot_be_submitted_is_refused_before_anything_runs(
    submit: Submit, flags: list[str], words: list[str]
) -> None:
    ended = to_the_end(submit("--submitter", "DemoOrg", "--output-dir", "out", *flags))
    if words:
        assert_refused(ended, *words)
    assert ended.code == 2 and not ended.runs


def test_the_demo_set_with_as_many_samples_as_the_rules_want_is_named(tmp_path: Path) -> None:
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


def test_a_run_that_fails_stops_the_submission_and_is_told_once(submit: Submit) -> None:
    ended = to_the_end(submit(*FAKE, "--model", "fake:raise_at=1"))
    assert_refused(ended, "told to fail", code=3)
    assert "--resume" in ended.err


def test_the_replay_backend_gives_the_accuracy_of_the_run_that_it_replays(run: Run, case: Case, tmp_path: Path) -> None:
    assert run("--mode", "accuracy", module="sut").code in (0, 1)
    assert run("logs", "answers.npz", module="submission.submit.rehearsal").code == 0
    f1 = json.loads((tmp_path / "work" / "logs" / "run.json").read_text())["result"]["f1"]
    flags = ["submit", *TRIAL, *case.data, "--backend", "replay", "--model", "replay:answers.npz,sample_ms=2"]
    ended = run(*flags, "--scenarios", "Offline", "--test-query-count", case.samples, with_case=False)
    assert ended.code == 0, ended.err
    assert [row["Accuracy"] for row in rows(ended)] == [f1]
    assert "no model ran" in out(ended, "mlperf_submission_summary.csv").read_text()
