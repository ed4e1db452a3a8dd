"""Two "nodes" on this machine: one is lost and another joins, and the samples stay the same; the command of two nodes.

It waits for conditions and never for a time, so a busy machine makes it slower and nothing else.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import toy_run
from command import processes, wait_until
from paths import ROOT
from pretraining_rows import GOLDEN
from toy_checkpoints import assert_close, weights
from toy_task import ToyTask

from training.loop.trainer import train
from training.records import training_record
from training.shards import mapped
from training.shards.data_set import Metadata
from training.shards.instances import from_rows

STEPS = 24
PATH = os.pathsep.join(map(str, (ROOT / "tests" / "support", ROOT)))
pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("all_cores")]


@dataclass(frozen=True)
class Node:
    """A launcher that leads a session of its own."""

    process: subprocess.Popen[bytes]
    printed: Path

    def out(self) -> str:
        return self.printed.with_suffix(".out").read_text(encoding="utf-8")

    def err(self) -> str:
        return self.printed.with_suffix(".err").read_text(encoding="utf-8")

    def says(self, text: str) -> None:
        """Wait until it has printed this."""
        wait_until(lambda: text in self.err() or self.process.poll() is not None)
        assert text in self.err(), self.err()

    def ends(self, code: int) -> None:
        """It ends with this exit code, and leaves no process."""
        assert self.process.wait(200) == code, self.err()
        wait_until(lambda: not processes(self.process.pid))


@contextmanager
def node(printed: Path, module: str, *words: object) -> Iterator[Node]:
    with printed.with_suffix(".out").open("wb") as out, printed.with_suffix(".err").open("wb") as err:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *map(str, words)],
            env={**os.environ, "PYTHONPATH": PATH, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
    try:
        yield Node(process, printed)
    finally:
        for pid in processes(process.pid):
            os.kill(pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def address() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same steps in this process, without a fault."""
    folder = tmp_path_factory.mktemp("alone")
    args, _ = toy_run.parse([str(folder)])
    train(ToyTask(batch=toy_run.BATCH), toy_run.plan_of(args), folder)
    return folder


def test_a_node_is_lost_and_another_one_joins(alone: Path, address: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    toy = ("toy_run", run, "--nodes", "1:2", "--processes", "1", "--rendezvous", address)
    short = ("--last-call", "2", "--keep-alive", "3")
    with node(tmp_path / "first", *toy, *short, "--fault", "any:10:hold") as first:
        first.says("waiting for 1:2 nodes")
        with node(tmp_path / "lost", *toy, *short, "--fault", "any:7:kill-node") as lost:
            lost.ends(-signal.SIGKILL)
        first.says("1 node, 1 process; this node has rank 0.")
        wait_until((run / "checkpoints" / "step-00000009").is_dir)  # alone
        with node(tmp_path / "joined", *toy, *short) as joined:
            joined.says("2 nodes, 2 processes")
            first.ends(0)
            joined.ends(0)
    assert "Starting again from the checkpoint of step 6 (1 of 3)." in first.err()
    assert "resumed at step 6, 72 samples\n" in first.out()
    assert "resumed at step 11, 132 samples\n" in first.out() + joined.out()  # it wrote one for the node that joined
    assert_close(weights(run, STEPS), weights(alone, STEPS))


def test_a_stopped_process_is_lost(alone: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with node(tmp_path / "node", "toy_run", run, "--fault", "0:7:stop", "--silence", "6") as only:
        only.ends(0)
    assert "is stopped and silent. Starting again from the checkpoint of step 6 (1 of 3)." in only.err()
    assert_close(weights(run, STEPS), weights(alone, STEPS))


def configuration(folder: Path) -> Path:
    """Of a small model on a few instances."""
    metadata = Metadata(
        max_seq_length=128, max_predictions=20, vocabulary_size=3_055, seed=12345, texts={"a.txt": "00"}
    )
    mapped.write_data_set(folder / "train", [from_rows(GOLDEN * 8)], metadata)
    mapped.write_data_set(folder / "eval", [from_rows(GOLDEN)], metadata)
    sizes = {"vocab_size": 3_055, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = folder / "config.json"
    model.write_text(
        json.dumps({**sizes, "intermediate_size": 32, "max_position_embeddings": 128, "type_vocab_size": 2})
    )
    settings = {"model": str(model), "data_dir": str(folder), "device": "cpu", "max_seq_length": 128, "dropout": 0.0}
    lengths = {"max_steps": 40, "eval_interval_samples": 160, "checkpoint_interval_steps": 5, "train_batch_size": 4}
    lines = [f"{name} = {json.dumps(value)}" for name, value in {**settings, **lengths, "nodes": 2}.items()]
    path = folder / "two.toml"
    path.write_text("\n".join(lines))
    return path


def test_the_command_of_two_nodes_trains_what_one_process_trains(address: str, tmp_path: Path) -> None:
    config = configuration(tmp_path)
    command = ("training.pretrain", "--config", config, "--output")
    with (
        node(tmp_path / "a", *command, tmp_path / "two", "--rendezvous", address) as a,
        node(tmp_path / "b", *command, tmp_path / "two", "--rendezvous", address) as b,
    ):
        a.ends(1)  # a target that is not reached
        b.ends(1)
    with node(tmp_path / "c", *command, tmp_path / "one", "--nodes", "1") as c:
        c.ends(1)
    assert "the configuration is for 2 processes, this run has 1. The global batch stays 8" in c.err()
    two, one = (training_record.read(tmp_path / name) for name in ("two", "one"))
    assert two.lives[0].nodes == two.lives[0].devices == 2
    assert two.samples == one.samples == 320
    pairs = zip(two.evaluations, one.evaluations, strict=True)
    for with_two, with_one in pairs:
        assert with_two.values == pytest.approx(dict(with_one.values), rel=1e-4)
