"""Runs on a Ray cluster of three nodes, which are processes of this machine: faults of each kind, tokens, Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from command import Command, Ended, assert_refused, wait_until
from paths import ASSETS

from backends.base import Batch
from backends.fake import fake_answer
from qsl import demo, squad
from qsl.base import Features

_QUESTIONS, _SEED = 2600, 11
_TOKEN = "0123456789abcdef" * 4
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
        [found] = [pid for pid, title in children(self.raylet(node)) if title.startswith("ray::NodeAgent")]
        return found

    def raylet(self, node: Any) -> int:
        [found] = node.all_processes["raylet"]
        pid: int = found.process.pid
        return pid

    def instance(self, node: Any) -> int:
        """The process of an instance, which the loader has forked."""
        [loader] = spawned(self.agent(node))
        return spawned(loader)[0]


def children(parent: int) -> list[tuple[int, str]]:
    """(pid, title) of a process's children."""
    words = ["ps", "-wwo", "pid=,args=", "--ppid", str(parent)]
    lines = subprocess.run(words, capture_output=True, text=True, check=False).stdout.splitlines()
    return [(int(pid), title) for pid, _, title in (line.strip().partition(" ") for line in lines)]


def spawned(parent: int) -> list[int]:
    return [pid for pid, title in children(parent) if "spawn_main" in title]


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.fixture(scope="module")
def rays(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayNodes]:
    temporary = Path(tempfile.mkdtemp(prefix="r", dir="/tmp"))  # the paths of its sockets must be short
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TMPDIR", str(temporary))
        patch.setenv("RAY_raylet_start_wait_time_s", "120")
        for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_ADDRESS"):
            patch.delenv(name, raising=False)
        found = RayNodes(tmp_path_factory.mktemp("ray"), temporary)
        yield found
        found.cluster.shutdown()
    shutil.rmtree(temporary, ignore_errors=True)


Data = tuple[list[str], Features]


def made(rays: RayNodes, name: str, questions: int) -> Data:
    """Flags of a data set, and its features."""
    dataset, vocab = rays.folder / name, ASSETS / "demo" / "vocab.txt"
    demo.write(dataset, "dev", _SEED, questions)
    flags = ["--dataset", str(dataset), "--cache-dir", str(rays.folder / "cache"), "--vocab", str(vocab)]
    return flags, squad.load(dataset, vocab, None).features


@pytest.fixture(scope="module")
def data(rays: RayNodes) -> Data:
    """A data set that takes half a minute."""
    return made(rays, "dev.json", _QUESTIONS)


@pytest.fixture(scope="module")
def short(rays: RayNodes) -> Data:
    """A data set that takes a moment."""
    return made(rays, "short.json", 100)


class Local(NamedTuple):
    flags: list[str]
    result: dict[str, Any]


@pytest.fixture(scope="module")
def local(rays: RayNodes, short: Data) -> Local:
    """A run of the demo's model on this machine, without Ray."""
    flags = ["--mode", "accuracy", *short[0], "--log-dir", "logs"]
    (rays.folder / "local").mkdir()
    with Command(rays.folder / "local", "sut", flags) as run:
        ended = run.end()
    assert ended.code == 0, ended.err
    return Local(flags, ended.record()["result"])


def test_a_cluster_without_tokens_is_refused(rays: RayNodes) -> None:
    with rays.run("open") as run:
        ended = run.end()
    assert_refused(ended, "expected a Ray cluster with token authentication", "--allow-open-cluster")
    assert ended.err.count("\n") == 1


def test_what_dies_freezes_and_joins_late_costs_no_answer(rays: RayNodes, data: Data) -> None:
    flags, features = [*data[0], *_SLOW], data[1]
    first, second, third = rays.nodes
    with rays.run("faults", "--allow-open-cluster", "--mode", "accuracy", *flags) as run:
        run.wait_for_run()
        errors = run.folder.parent / "err.txt"

        def said(what: str, times: int = 1) -> None:
            run.wait_until(lambda: errors.read_text(encoding="utf-8").count(what) == times)

        names = [rays.name(node) for node in rays.nodes]
        os.kill(rays.agent(first), signal.SIGKILL)
        said(f"node {names[0]} is lost: its agent does not answer")
        said(f"node {names[0]} is back")
        os.kill(rays.agent(second), signal.SIGSTOP)
        said(f"node {names[1]} is lost: no answer to a batch within 5 s")
        said(f"node {names[1]} is back")  # a batch that is lost twice ends the run
        rays.cluster.remove_node(third, allow_graceful=False)
        said(f"node {names[2]} is lost: its agent does not answer")
        late = rays.cluster.add_node(num_cpus=2)
        os.kill(rays.instance(second), signal.SIGSTOP)
        said(f"node {names[1]} is lost: no answer to a batch within 5 s", times=2)
        said(f"node {names[1]} is back", times=2)
        said(f"node {rays.name(late)} takes the place of {names[2]}.")
        os.kill(rays.raylet(late), signal.SIGKILL)
        said(f"node {rays.name(late)} is lost: ")
        with frozen(rays.raylet(second)):
            ended = run.end()
    assert ended.code in (0, 1), ended.err  # the fake's score has no target to reach
    assert_answered_once(ended, features)
    record = ended.record()
    losses = {loss.get("address", node["address"]) for node in record["nodes"] for loss in node["losses"]}
    assert losses == {*names, rays.name(late)}
    assert record["cluster"]["token_authentication"] is False
    assert record["submittable"] is False
    assert "  lost " in ended.out
    wait_until(lambda: not instances(rays))


def instances(rays: RayNodes) -> list[int]:
    """Processes that agents have started and that are still there, on any cluster of the test's."""
    mark = f"RAY_TMPDIR={rays.temporary}".encode()
    words = ["ps", "-wweo", "pid=,args="]
    lines = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    there = [int(line.split()[0]) for line in lines if "spawn_main" in line]
    return [pid for pid in there if mark in _environment(pid)]


def _environment(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:  # it has ended
        return b""


def test_a_frozen_raylet_on_the_runs_own_machine_does_not_hold_it(rays: RayNodes, short: Data) -> None:
    flags, features = [*short[0], *_SLOW], short[1]
    with rays.run("frozen", "--allow-open-cluster", "--mode", "accuracy", *flags) as run:
        run.wait_for_run()
        with frozen(rays.raylet(rays.nodes[0])):
            ended = run.end()
    assert ended.code in (0, 1), ended.err
    assert_answered_once(ended, features)


def assert_answered_once(ended: Ended, features: Features) -> None:
    """Each sample is answered once, with its own answer."""
    entries = json.loads((ended.folder / "logs" / "mlperf_log_accuracy.json").read_text(encoding="utf-8"))
    assert sorted(entry["qsl_idx"] for entry in entries) == list(range(len(features)))
    for entry in entries:
        found = np.frombuffer(bytes.fromhex(entry["data"]), "<f4").reshape(-1, 2)
        np.testing.assert_array_equal(found, fake_answer(Batch.of([features.sample(entry["qsl_idx"])])))


def test_an_own_cluster_has_a_token_and_scores_as_one_machine_does(rays: RayNodes, local: Local) -> None:
    with rays.run("own", *local.flags, address=False) as run:
        own = run.end()
    assert own.code == 0, own.err
    assert own.record()["result"] == local.result
    cluster = own.record()["cluster"]
    assert (cluster["is_own"], cluster["token_authentication"]) == (True, True)
    slow = (" left", "loading demo")  # the progress of a slow run
    said = [line for line in own.err.splitlines() if not any(word in line for word in slow)]
    assert len(said) == 4 and said[-1].endswith(" samples"), own.err  # nothing of Ray's own
    wait_until(lambda: not of_another_cluster(rays))


def test_ctrl_c_leaves_nothing_behind(rays: RayNodes, data: Data) -> None:
    with rays.run("interrupted", "--mode", "accuracy", *data[0], *_SLOW, address=False) as run:
        run.wait_for_run()
        assert of_another_cluster(rays)
        run.interrupt()
        ended = run.end()
    assert_refused(ended, "the run FAILED: interrupted", code=3)
    wait_until(lambda: not of_another_cluster(rays))


class Protected(NamedTuple):
    """A cluster of one node with a token, and its raylet."""

    address: str
    raylet: Callable[[], int]


@pytest.fixture(scope="module")
def protected(rays: RayNodes) -> Iterator[Protected]:
    port = free_port()
    words = ["start", "--head", "--port", str(port), "--num-cpus", "2", "--include-dashboard", "False", "--block"]
    (rays.folder / "protected").mkdir()
    with pytest.MonkeyPatch.context() as patch:  # tests do without the token unless they set it
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", _TOKEN)
        head = Command(rays.folder / "protected", "ray.scripts.scripts", words)
    with head:
        out = rays.folder / "protected" / "out.txt"
        head.wait_until(lambda: "Ray runtime started" in out.read_text(encoding="utf-8"))

        def raylet() -> int:
            [found] = [pid for pid, title in children(head.pid) if "/raylet/raylet " in title]
            return found

        yield Protected(f"127.0.0.1:{port}", raylet)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port: int = bound.getsockname()[1]
        return port


@pytest.mark.parametrize("token", [None, "0" * 64], ids=["none", "another"])
def test_a_cluster_with_a_token_refuses_a_run_without_it(
    rays: RayNodes, protected: Protected, token: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if token:
        monkeypatch.setenv("RAY_AUTH_TOKEN", token)
    monkeypatch.setenv("HOME", str(rays.folder))  # where a token may be
    with rays.run(f"token-{token}", "--address", protected.address) as run:
        ended = run.end()
    assert_refused(ended, f"expected a Ray cluster at {protected.address} that takes our token")


def test_a_cluster_with_a_token_scores_as_one_machine_does_and_its_end_is_said(
    rays: RayNodes, protected: Protected, local: Local, data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", _TOKEN)
    with rays.run("protected-run", *local.flags, "--address", protected.address) as run:
        ended = run.end()
    assert ended.code == 0, ended.err
    assert ended.record()["result"] == local.result
    cluster = ended.record()["cluster"]
    assert (cluster["is_own"], cluster["token_authentication"]) == (False, True)
    with rays.run("no-raylet", *data[0], *_SLOW, "--address", protected.address) as run:
        run.wait_for_run()
        os.kill(protected.raylet(), signal.SIGKILL)
        ended = run.end()
    assert_refused(ended, "expected a node to answer, found all lost", code=3)


def of_another_cluster(rays: RayNodes) -> list[str]:
    """Processes of a cluster that is not the test's: of one that a run has started."""
    words = subprocess.run(["ps", "-wweo", "args="], capture_output=True, text=True, check=True).stdout.splitlines()
    sessions = re.compile(rf"{re.escape(str(rays.temporary))}/ray/session_\S+?/")
    ours = sessions.search(rays.nodes[0].get_session_dir_path() + "/")
    assert ours
    return [line for line in words if (found := sessions.search(line)) and found[0] != ours[0]]
