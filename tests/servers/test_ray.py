"""Runs on a Ray cluster of three nodes, which are processes of this machine: faults of each kind, tokens, Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import Command, Ended, assert_refused, wait_until
from paths import ASSETS

from backends.base import Batch
from backends.fake import fake_answer
from qsl import demo, squad
from qsl.base import Features

_QUESTIONS, _SEED = 1300, 11
_SLOW = ("--backend", "fake", "--model", "fake:sleep_ms=60", "--batch-size", "1", "--instances", "2")


class RayNodes:
    """A cluster of a head and two more nodes, without token authentication."""

    def __init__(self, folder: Path, temporary: Path) -> None:
        from ray.cluster_utils import Cluster  # after RAY_TMPDIR is set

        self.folder, self.temporary = folder, temporary
        self.cluster: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
        self.nodes = [self.cluster.head_node, *(self.cluster.add_node(num_cpus=2) for _ in range(2))]
        self.flags = ["--executor", "ray", "--address", self.cluster.address, "--log-dir", "logs"]

    def run(self, name: str, *more: str, address: bool = True) -> Command:
        (self.folder / name).mkdir()
        words = [*(self.flags if address else ["--executor", "ray", "--log-dir", "logs"]), *more]
        return Command(self.folder / name, "sut", words)

    def name(self, node: Any) -> str:
        """As a run calls it."""
        return f"{node.node_ip_address}/{node.node_id[:8]}"

    def agent(self, node: Any) -> int:
        """The process of a node's agent."""
        [raylet] = node.all_processes["raylet"]
        [found] = [pid for pid, title in children(raylet.process.pid) if title.startswith("ray::NodeAgent")]
        return found


def children(parent: int) -> list[tuple[int, str]]:
    """(pid, title) of a process's children."""
    words = ["ps", "-wwo", "pid=,args=", "--ppid", str(parent)]
    lines = subprocess.run(words, capture_output=True, text=True, check=False).stdout.splitlines()
    return [(int(pid), title) for pid, _, title in (line.strip().partition(" ") for line in lines)]


@pytest.fixture(scope="module")
def rays(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayNodes]:
    temporary = Path(tempfile.mkdtemp(prefix="r", dir="/tmp"))  # the paths of its sockets must be short
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TMPDIR", str(temporary))
        for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_ADDRESS"):
            patch.delenv(name, raising=False)
        found = RayNodes(tmp_path_factory.mktemp("ray"), temporary)
        yield found
        found.cluster.shutdown()
    shutil.rmtree(temporary, ignore_errors=True)


@pytest.fixture(scope="module")
def data(rays: RayNodes) -> tuple[list[str], Features]:
    """Flags of a data set that takes some twenty seconds, and its features."""
    dataset, vocab = rays.folder / "dev.json", ASSETS / "demo" / "vocab.txt"
    demo.write(dataset, "dev", _SEED, _QUESTIONS)
    flags = ["--dataset", str(dataset), "--cache-dir", str(rays.folder / "cache"), "--vocab", str(vocab), *_SLOW]
    return flags, squad.load(dataset, vocab, None).features


def test_a_cluster_without_tokens_is_refused(rays: RayNodes) -> None:
    with rays.run("open") as run:
        ended = run.end()
    assert_refused(ended, "expected a Ray cluster with token authentication", "--allow-open-cluster")
    assert ended.err.count("\n") == 1


def test_an_agent_that_dies_one_that_freezes_and_a_node_that_is_gone(
    rays: RayNodes, data: tuple[list[str], Features]
) -> None:
    flags, features = data
    first, second, third = rays.nodes
    with rays.run("faults", "--allow-open-cluster", "--mode", "accuracy", *flags) as run:
        run.wait_for_run()
        errors = run.folder.parent / "err.txt"

        def said(node: Any, what: str) -> None:
            run.wait_until(lambda: f"node {rays.name(node)} is {what}" in errors.read_text(encoding="utf-8"))

        os.kill(rays.agent(first), signal.SIGKILL)
        said(first, "lost: its agent does not answer")
        said(first, "back")
        os.kill(rays.agent(second), signal.SIGSTOP)
        said(second, "lost: no answer to a batch within 5 s")
        said(second, "back")
        rays.cluster.remove_node(third, allow_graceful=False)
        said(third, "lost: its agent does not answer")
        ended = run.end()
    assert ended.code in (0, 1), ended.err  # the fake's score has no target to reach
    assert_answered_once(ended, features)
    record = ended.record()
    assert {one["address"] for one in record["nodes"] if one["losses"]} == {rays.name(node) for node in rays.nodes}
    assert record["cluster"]["token_authentication"] is False
    assert record["submittable"] is False
    assert "  lost " in ended.out


def assert_answered_once(ended: Ended, features: Features) -> None:
    """Each sample is answered once, with its own answer."""
    entries = json.loads((ended.folder / "logs" / "mlperf_log_accuracy.json").read_text(encoding="utf-8"))
    assert sorted(entry["qsl_idx"] for entry in entries) == list(range(len(features)))
    for entry in entries:
        found = np.frombuffer(bytes.fromhex(entry["data"]), "<f4").reshape(-1, 2)
        np.testing.assert_array_equal(found, fake_answer(Batch.of([features.sample(entry["qsl_idx"])])))


def test_an_own_cluster_has_a_token_and_scores_as_one_machine_does(rays: RayNodes) -> None:
    dataset = rays.folder / "short.json"
    demo.write(dataset, "dev", _SEED, 100)
    flags = ["--mode", "accuracy", "--dataset", str(dataset), "--log-dir", "logs"]
    with rays.run("own", *flags, address=False) as run:
        own = run.end()
    (rays.folder / "local").mkdir()
    with Command(rays.folder / "local", "sut", flags) as run:
        local = run.end()
    assert (own.code, local.code) == (0, 0), own.err
    assert own.record()["result"] == local.record()["result"]
    cluster = own.record()["cluster"]
    assert (cluster["is_own"], cluster["token_authentication"]) == (True, True)
    assert own.err.count("\n") <= local.err.count("\n") + 1  # nothing of Ray's own
    wait_until(lambda: not of_another_cluster(rays))


def test_ctrl_c_leaves_nothing_behind(rays: RayNodes, data: tuple[list[str], Features]) -> None:
    flags, _ = data
    with rays.run("interrupted", "--mode", "accuracy", *flags, address=False) as run:
        run.wait_for_run()
        assert of_another_cluster(rays)
        run.interrupt()
        ended = run.end()
    assert_refused(ended, "the run FAILED: interrupted", code=3)
    wait_until(lambda: not of_another_cluster(rays))


def of_another_cluster(rays: RayNodes) -> list[str]:
    """Processes of a cluster that is not the test's: of one that a run has started."""
    words = subprocess.run(["ps", "-wweo", "args="], capture_output=True, text=True, check=True).stdout.splitlines()
    sessions = re.compile(rf"{re.escape(str(rays.temporary))}/ray/session_\S+?/")
    ours = sessions.search(rays.nodes[0].get_session_dir_path() + "/")
    assert ours
    return [line for line in words if (found := sessions.search(line)) and found[0] != ours[0]]
