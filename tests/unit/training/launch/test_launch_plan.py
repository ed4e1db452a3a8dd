"""How many nodes and processes: what is typed, what the configuration names, and what the machine has."""

from __future__ import annotations

import argparse

import pytest

from sut.errors import UsageError
from training.launch import flags
from training.launch.plan import Address, Layout, Nodes, address, layout, nodes, usable_cores


def typed(*words: str, planned: tuple[int, int] = (1, 1), gpus: int = 8) -> Layout:
    parser = argparse.ArgumentParser()
    flags.add(parser)
    return flags.layout_of(parser.parse_args(words), *planned, gpus)


@pytest.mark.parametrize(
    ("text", "found"), [("1", Nodes(1, 1)), ("2", Nodes(2, 2)), ("1:2", Nodes(1, 2)), ("64:512", Nodes(64, 512))]
)
def test_nodes_are_a_number_or_a_range(text: str, found: Nodes) -> None:
    assert nodes(text) == found and str(found) == text


@pytest.mark.parametrize("text", ["", "0", "2:1", "0:2", "1:", ":2", "two", "-1", "1:2:3", "99999999", "1.5"])
def test_other_nodes_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--nodes: expected a number such as 2, or MIN:MAX"):
        nodes(text)


@pytest.mark.parametrize("text", ["node-a", "node-a:", ":29500", "node-a:0", "node-a:65536", "a b:1", "http://a:1"])
def test_other_addresses_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--rendezvous: expected HOST:PORT"):
        address(text)


def test_flags_go_before_the_configuration() -> None:
    planned = typed("--rendezvous", "node-a:29500", planned=(2, 8))
    assert (planned.nodes, planned.processes, planned.address) == (Nodes(2, 2), 8, Address("node-a", 29500))
    given = typed("--nodes", "1", "--processes", "4", "--max-restarts", "0", "--keep-alive", "3", planned=(2, 8))
    assert (given.nodes, given.processes, given.max_restarts, given.patience.keep_alive_s) == (Nodes(1, 1), 4, 0, 3)


@pytest.mark.parametrize("words", [["--processes", "0"], ["--max-restarts", "-1"], ["--last-call", "1e3"]])
def test_other_numbers_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        typed(*words)
    assert ended.value.code == 2 and "expected a whole number from" in capsys.readouterr().err


def test_a_machine_with_too_few_devices_says_what_to_type() -> None:
    with pytest.raises(
        UsageError, match=r"a GPU for each of 8 processes on this machine, found 2 GPUs. Type: --proc.* 2"
    ):
        typed(planned=(1, 8), gpus=2)
    cores = usable_cores()
    with pytest.raises(UsageError, match=rf"a core for each of {cores + 1} processes .*Type: --processes {cores}$"):
        typed(planned=(1, cores + 1), gpus=0)
    assert typed("--processes", str(cores + 1), gpus=0).processes == cores + 1  # slower, and right


def test_several_nodes_need_an_address() -> None:
    with pytest.raises(UsageError, match="Type on each node: --rendezvous HOST:29500"):
        typed("--nodes", "1:2")


def test_processes_share_the_cores() -> None:
    cores = usable_cores()
    assert layout(Nodes(1, 1), 1, None).threads == cores
    assert layout(Nodes(1, 1), cores, None).threads == 1
    assert layout(Nodes(1, 1), 2 * cores, None, gpus=2 * cores).threads == 1


def test_one_process_needs_no_launcher() -> None:
    assert typed().is_one_process
    assert not typed("--processes", "2").is_one_process
    assert not typed("--nodes", "1:2", "--rendezvous", "a:1").is_one_process


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--processes", "8"], None),
        (["--processes", "2"], "for 8 processes, this run has 2. The global batch stays 448"),
        (["--nodes", "1:2", "--rendezvous", "a:1"], "for 8 processes, this run has 8 to 16."),
    ],
)
def test_another_number_of_processes_is_said(words: list[str], found: str | None) -> None:
    note = typed(*words, planned=(1, 8)).note(1, 8, 448)
    assert note is None if found is None else note is not None and found in note
