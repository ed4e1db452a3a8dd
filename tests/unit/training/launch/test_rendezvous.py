"""Where nodes meet: a node that does not fit a run is refused before it joins, as is a port of another program."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from sut.errors import RunFailedError, UsageError
from training.launch.endings import Ending
from training.launch.plan import Address, Layout, Nodes, Patience
from training.launch.rendezvous import LOCAL, meet

ONE_OR_TWO = Nodes(1, 2)
PATIENCE = Patience(seen_s=0.3)
FACTS = {"train_batch_size": "12", "torch": "2.13.0"}


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind((LOCAL, 0))
        number: int = free.getsockname()[1]
    return number


def layout(port: int, nodes: Nodes = ONE_OR_TWO, patience: Patience = PATIENCE) -> Layout:
    return Layout(nodes=nodes, processes=1, threads=1, address=Address(LOCAL, port), patience=patience)


def test_nodes_that_fit_share_what_they_know(port: int, tmp_path: Path) -> None:
    first, second = (meet(layout(port), FACTS, tmp_path) for _ in range(2))
    assert (first.own_address, first.interface) == (LOCAL, "lo")
    assert [first.count_start(), second.count_start()] == [1, 2]
    assert [first.newest_step(6), second.newest_step(0), second.newest_step(9), first.newest_step(6)] == [6, 6, 9, 9]
    assert second.outcome() is None
    failed, interrupted = Ending("refused", 3, "a bad shard."), Ending("interrupted", 3)
    assert [first.end(failed), second.end(interrupted), second.outcome()] == [failed] * 3


@pytest.mark.parametrize(
    ("nodes", "facts", "found"),
    [
        (Nodes(2, 2), FACTS, "--nodes 1:2, found 2. Type the same command on each node."),
        (Nodes(1, 2), {**FACTS, "train_batch_size": "56"}, "train_batch_size 12, found 56."),
        (Nodes(1, 2), {**FACTS, "device": "cuda"}, "device None, found cuda."),
    ],
)
def test_another_configuration_is_refused(
    port: int, tmp_path: Path, nodes: Nodes, facts: dict[str, str], found: str
) -> None:
    first = meet(layout(port), FACTS, tmp_path)
    with pytest.raises(UsageError, match=f"expected what the first node of this run has, {found}"):
        meet(layout(port, nodes), facts, tmp_path)
    assert first.outcome() is None


def test_a_folder_of_one_node_alone_is_refused(port: int, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    first = meet(layout(port), FACTS, tmp_path)
    with pytest.raises(UsageError, match="expected a folder that all nodes share"):
        meet(layout(port), FACTS, tmp_path / "b")
    assert first.outcome() is None


def test_a_port_of_another_program_is_refused(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind((LOCAL, 0))
        other.listen()
        with pytest.raises(UsageError, match=r"found another program that uses the port\. Type another one"):
            meet(layout(other.getsockname()[1], patience=replace(PATIENCE, answer_s=0.2)), FACTS, tmp_path)


@pytest.mark.parametrize(
    ("host", "kind", "found"),
    [
        ("no-such-host.invalid", UsageError, "expected a host's name, found "),
        ("127.0.0.2", RunFailedError, "no answer within 0 s. Start the same command on that node"),
    ],
)
def test_a_host_that_does_not_answer_is_named(tmp_path: Path, host: str, kind: type[Exception], found: str) -> None:
    with socket.socket() as closed:  # bound, so that nothing else can be, and not listening
        closed.bind(("127.0.0.2", 0))
        number = closed.getsockname()[1]
        impatient = layout(number, patience=replace(PATIENCE, join_s=0))
        with pytest.raises(kind, match=found):
            meet(replace(impatient, address=Address(host, number)), {}, tmp_path)
