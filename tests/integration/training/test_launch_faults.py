"""Two processes under the launcher: faults after which the training goes on, and those that end it with one line."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import toy_run
from command import processes, wait_until
from paths import ROOT
from toy_checkpoints import assert_close, assert_equal, weights
from toy_task import ToyTask

from training.loop.trainer import train

STEPS = 24
PATH = os.pathsep.join(map(str, (ROOT / "tests" / "support", ROOT)))


@pytest.fixture(scope="module", autouse=True)
def path(all_cores: None) -> None:
    os.environ["PYTHONPATH"] = PATH  # for the processes that the launcher starts


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("launch") / "undisturbed"
    assert toy_run.launch([str(folder)]) == 0
    return folder


def test_two_processes_train_what_one_trains(undisturbed: Path, tmp_path: Path) -> None:
    args, _ = toy_run.parse([str(tmp_path)])
    train(ToyTask(batch=toy_run.BATCH), toy_run.plan_of(args), tmp_path)
    assert_close(weights(undisturbed, STEPS), weights(tmp_path, STEPS))


def test_a_killed_worker_comes_back_and_a_nan_does_not(
    undisturbed: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert toy_run.launch([str(tmp_path), "--fault", "1:7:kill", "--broken-at", "20"]) == 3
    printed = capfd.readouterr()
    killed, broken = printed.err.splitlines()
    assert re.fullmatch(
        r"rank 1 \(pid \d+\) was killed by SIGKILL; the kernel does that when memory is short\. "
        r"Starting again from the checkpoint of step 6 \(1 of 3\)\.",
        killed,
    )
    whichever = broken.replace("rank 1", "rank 0")  # all ranks see it; the first to say so is named
    assert whichever.startswith("error: rank 0: expected a finite loss, found nan at step 20, samples 229 to 240. ")
    assert broken.endswith("checkpoints/step-00000018.")
    assert printed.out == "resumed at step 6, 72 samples\n"
    assert_equal(weights(undisturbed, 18), weights(tmp_path, 18))


def test_a_fault_that_repeats_ends_the_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert toy_run.launch([str(tmp_path), "--fault", "1:4:raise:always", "--max-restarts", "1"]) == 3
    again, ended = capfd.readouterr().err.splitlines()
    log = tmp_path / "rank1.log"
    cause = f"rank 1: ValueError: a defect. See {log}."
    assert again == f"{cause} Starting again from the checkpoint of step 3 (1 of 1)."
    assert ended == f"error: {cause} 1 restart from the same checkpoint did not help."
    assert log.read_text(encoding="utf-8").count("ValueError: a defect") == 2


def test_too_few_nodes_are_said(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    assert toy_run.launch([str(tmp_path), "--nodes", "2", "--rendezvous", address, "--join-timeout", "1"]) == 3
    waiting, ended = capfd.readouterr().err.splitlines()
    assert waiting == f"waiting for 2 nodes at {address} …"
    assert ended == "error: expected 2 nodes within 1 s, found fewer. Type the same command on each."


def command(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The launcher as a process that leads a session; none of its processes is left when this returns."""
    with (folder.parent / "err").open("w") as err:
        started = subprocess.Popen(
            [sys.executable, "-m", "toy_run", str(folder), *words], stderr=err, start_new_session=True
        )
        code = started.wait(100)
    wait_until(lambda: not processes(started.pid))
    return subprocess.CompletedProcess(words, code, stderr=(folder.parent / "err").read_text(encoding="utf-8"))


def test_no_process_outlives_the_launcher_and_the_same_command_goes_on(undisturbed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    killed = command(folder, "--fault", "0:7:kill-launcher", "--fault", "any:7:hold")
    assert killed.returncode == -signal.SIGKILL
    assert not (folder / "checkpoints" / "step-00000009").exists()
    stopped = command(folder, "--fault", "0:11:interrupt-launcher", "--fault", "any:11:hold")
    assert stopped.returncode == 3
    assert "error: interrupted by SIGINT on " in stopped.stderr and "Traceback" not in stopped.stderr
    assert max((folder / "checkpoints").glob("step-*")).name == "step-00000012"  # the step that was under way
    ended = command(folder, "--target", "2")
    assert (ended.returncode, ended.stderr) == (1, "")  # a target that no score reaches
    assert_equal(weights(undisturbed, STEPS), weights(folder, STEPS))
