"""A submission over two nodes by the rules of the network division: what is packed, what it says, and the same F1."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from command import Case, Command, Ended, Run
from submitted import TRIAL, out, rows, to_the_end

from submission.rules import rounds


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory, case: Case) -> Iterator[list[str]]:
    """The addresses of two nodes with the embedded model."""
    with ExitStack() as stack:
        words = ["serve", "--port", "0", *case.data, "--instances", "1", "--threads", "1"]
        started = [stack.enter_context(Command(tmp_path_factory.mktemp(name), "sut", words)) for name in ("one", "two")]
        yield [_address(command) for command in started]


def _address(command: Command) -> str:
    text = command.folder.parent / "out.txt"
    found = command.wait_until(lambda: re.search(r"serving at (\S+) with ", text.read_text(encoding="utf-8")))
    return str(found[1])


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory, case: Case, nodes: list[str]) -> Ended:
    there = [word for address in nodes for word in ("--node", address)]
    flags = (*TRIAL, "--scenarios", "Offline", *case.data, "--executor", "remote", *there, "--network-division")
    return to_the_end(Command(tmp_path_factory.mktemp("division"), "sut", ["submit", *flags]))


def loaded(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def test_the_tree_passes_the_checks_and_describes_the_network(trial: Ended, run: Run) -> None:
    assert trial.code == 0, trial.err
    assert run("check", out(trial), with_case=False).code == 0
    system = loaded(out(trial, "mlperf_submission/open/DemoOrg/systems/this-machine.json"))
    assert system["is_network"] == "true" and all(system[key] for key in rounds.NETWORK_KEYS)
    assert (system["number_of_nodes"], system["number_connections"]) == ("2", "2")
    assert system["framework"].startswith("ONNX Runtime 1")


def test_the_package_says_which_nodes_made_it(trial: Ended, nodes: list[str]) -> None:
    result = out(trial, "mlperf_submission/open/DemoOrg/results/this-machine/bert-99/Offline")
    ports = [address.rpartition(":")[2] for address in nodes]
    log = (result / "performance/run_1/mlperf_log_detail.txt").read_text(encoding="utf-8")
    name = re.search(r'"sut_name", "value": "(.*?)"', log)
    assert name and re.fullmatch(rf"mlperf-bert-sut Network SUT: \S+:{ports[0]}, \S+:{ports[1]}", name[1])
    measured = loaded(result / "measurements.json")
    assert (measured["instances"], measured["threads_per_instance"]) == (2, 1)
    assert [one["name"].rpartition(":")[2] for one in measured["nodes"]] == ports
    readme = (result / "README.md").read_text(encoding="utf-8")
    assert "| 2 of 1 threads each |" in readme and "None" not in readme and "network division" in readme


def test_each_sample_is_a_query_and_f1_is_that_of_this_machine(trial: Ended, case: Case, refuse: Run) -> None:
    record = loaded(out(trial, "runs/Offline/accuracy/run.json"))
    assert {one["sent"] for one in record["nodes"]} == {"single samples"}
    assert sum(one["batches"] for one in record["nodes"]) == case.samples
    assert record["submittable"] is False and any("must cross a network" in one for one in record["notices"])
    here = refuse("--mode", "accuracy", "--executor", "inline")
    assert here.code == 0, here.err
    assert [row["Accuracy"] for row in rows(trial)] == [here.record()["result"]["f1"]]


@pytest.mark.parametrize(
    ("words", "todo"),
    [
        (("--division", "closed"), "--division open, or --executor remote alone"),
        (("--division", "network"), "--division open --network-division"),
    ],
)
def test_divisions_without_results_over_a_network(refuse: Run, words: tuple[str, ...], todo: str) -> None:
    ended = refuse(
        "submit", "--submitter", "A", "--output-dir", "out", *words, "--executor", "remote", "--node", "a:1",
        "--network-division", with_case=False,
    )  # fmt: skip
    assert ended.code == 2 and todo in ended.err
