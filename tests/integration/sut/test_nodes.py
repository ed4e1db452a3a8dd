"""Runs on nodes that are processes: frozen, killed, ended, or another system than the run's."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import LOGS, Command, Ended, assert_refused, processes, wait_until
from paths import ASSETS

from backends.base import Batch
from backends.fake import fake_answer
from qsl import demo, squad
from qsl.base import Features
from sut.__main__ import main

_QUESTIONS, _SEED = 150, 11
_SLOW = ("--backend", "fake", "--model", "fake:sleep_ms=10")


class Nodes:
    """Three nodes on one data set, and runs on them."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self._stack = folder, stack
        self.dataset, self.vocab = folder / "dev.json", folder / "vocab.txt"
        self.vocab.write_bytes((ASSETS / "demo" / "vocab.txt").read_bytes())
        demo.write(self.dataset, "dev", _SEED, _QUESTIONS)
        self.features: Features = squad.load(self.dataset, self.vocab, None).features
        self.flags = ["--dataset", str(self.dataset), "--cache-dir", str(folder / "cache"), *_SLOW]
        started = [self._start(name) for name in ("one", "two", "three")]
        self.commands = {self._address(command): command for command in started}

    def _start(self, name: str) -> Command:
        (self.folder / name).mkdir()
        words = ["serve", "--port", "0", *self.flags, "--vocab", str(self.vocab), "--instances", "1"]
        return self._stack.enter_context(Command(self.folder / name, "sut", words))

    @staticmethod
    def _address(command: Command) -> str:
        out = command.folder.parent / "out.txt"
        found = command.wait_until(lambda: re.search(r"serving at (\S+) with fake", out.read_text(encoding="utf-8")))
        return str(found[1])

    def words(self, *more: str) -> list[str]:
        """A run on all nodes that are there."""
        there = [address for address, command in self.commands.items() if not command.is_over()]
        addresses = [word for address in there for word in ("--node", address)]
        return ["--executor", "remote", *addresses, *self.flags, "--batch-size", "1", "--log-dir", "logs", *more]

    @contextmanager
    def run(self, name: str, *more: str) -> Iterator[Command]:
        """An accuracy run under way, LoadGen at work."""
        (self.folder / name).mkdir()
        words = self.words("--vocab", str(self.vocab), "--mode", "accuracy", *more)
        with Command(self.folder / name, "sut", words) as command:
            command.wait_until((command.folder / "logs" / LOGS[1]).is_file)
            time.sleep(0.2)  # into its queries
            yield command

    def assert_answered(self, ended: Ended, lost: str, reason: str) -> None:
        """Each sample is answered once, with its own answer, and what happened is said."""
        assert ended.code in (0, 1), ended.err  # the fake's score has no target to reach
        entries = json.loads((ended.folder / "logs" / "mlperf_log_accuracy.json").read_text(encoding="utf-8"))
        assert sorted(entry["qsl_idx"] for entry in entries) == list(range(len(self.features)))
        for entry in entries:
            found = np.frombuffer(bytes.fromhex(entry["data"]), "<f4").reshape(-1, 2)
            np.testing.assert_array_equal(found, fake_answer(Batch.of([self.features.sample(entry["qsl_idx"])])))
        record = ended.record()
        assert [one["address"] for one in record["nodes"] if one["losses"]] == [lost]
        [loss] = next(one["losses"] for one in record["nodes"] if one["address"] == lost)
        assert loss["jobs_moved"] > 0 and re.search(reason, loss["reason"])
        assert record["submittable"] is False and any(f"node {lost} was lost" in one for one in record["notices"])
        assert f"node {lost} is lost: " in ended.err and "  lost " in ended.out
        assert "Traceback" not in ended.err


def signalled(node: Command, number: int) -> None:
    """All processes of a node, as when its machine stops."""
    for pid in processes(node.pid):
        os.kill(pid, number)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    with ExitStack() as stack:
        yield Nodes(tmp_path_factory.mktemp("nodes"), stack)


def test_another_vocabulary_is_refused(nodes: Nodes, capfd: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    monkeypatch.chdir(nodes.folder)
    (nodes.folder / "other.txt").write_bytes(nodes.vocab.read_bytes() + b"one-more\n")
    assert main(nodes.words("--vocab", "other.txt", "--log-dir", "refused")) == 2
    error = capfd.readouterr().err
    assert re.fullmatch(r"error: expected vocabulary \w{12}… on the node at \S+, as here, found \w{12}…\. .*\n", error)
    assert not (nodes.folder / "refused").exists()


def test_a_frozen_node_a_killed_node_and_one_that_ends(nodes: Nodes) -> None:
    (_, first), (second_address, second), (third_address, third) = nodes.commands.items()
    with nodes.run("frozen", "--scenario", "Server", "--stall-timeout-s", "0.2") as run:
        signalled(second, signal.SIGSTOP)
        nodes.assert_answered(run.end(), second_address, "no answer to a batch within 0.2 s")
    signalled(second, signal.SIGCONT)
    with nodes.run("killed-instance") as run:
        [instance] = third.instances()
        os.kill(instance, signal.SIGKILL)
        nodes.assert_answered(run.end(), third_address, "died with signal SIGKILL")
    assert_refused(third.end(), "the node FAILED: ", "died with signal SIGKILL", code=3)
    with nodes.run("killed-node") as run:
        signalled(second, signal.SIGKILL)
        nodes.assert_answered(run.end(), second_address, "connection")
    wait_until(second.is_over)
    os.kill(first.pid, signal.SIGTERM)
    ended = first.end()
    assert (ended.code, ended.errors) == (0, [])
    wait_until(lambda: not processes(first.pid))
