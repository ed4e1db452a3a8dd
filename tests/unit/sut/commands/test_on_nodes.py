"""What the verbs make of runs on nodes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import records

from foundation.typed_json import encode
from sut.commands.compare import command as compare
from sut.commands.kpi import figures
from sut.errors import UsageError
from sut.machine import facts as machine_facts
from sut.record.node_machine import NodeMachine
from sut.record.nodes import NodeRecord
from sut.settings.resolve import resolve


@pytest.mark.parametrize("words", [["--executor", "remote", "--node", "a:1"], ["--executor", "ray"]])
def test_compare_refuses_nodes(words: list[str]) -> None:
    with pytest.raises(UsageError, match="two engines are compared and nodes have one, found --executor"):
        compare.main(["quick", *words])


def test_kpi_shows_the_machine_of_the_nodes_and_a_command_that_can_be_typed() -> None:
    facts = replace(machine_facts.facts(), processor="The node's CPU", python="3.99.0")
    node = NodeRecord(
        address="a:1", name="box:1", instances=2, planned_for="Server", sent="single samples", samples_per_s=1.0,
        batches=1, samples=1, machine=encode(NodeMachine(facts=facts)),
    )  # fmt: skip
    asked = resolve({"executor": "remote", "node": "a:1", "network_division": True})
    config = replace(asked, max_batch_tokens=1536)  # of a prepared run
    report = figures.report(records.record(nodes=(node,), config=config))
    found = {one.name: one.value for kpis in report.sections.values() for one in kpis}
    assert (found["HARDWARE"], found["PYTHON_VER"]) == ("The node's CPU", "3.99.0")
    assert found["CMD"] == "python -m sut --executor remote --node a:1 --network-division"
