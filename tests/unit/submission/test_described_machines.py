"""A system of several nodes, as they describe themselves: one description, and what a person must still say."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import records

from backends.bert.architectures import RANDOM_GEOMETRIES
from foundation.typed_json import decode, encode
from submission.package import described_machines, documents, weights
from submission.package.described_machines import of_network, of_nodes
from submission.rules import rounds
from submission.submit import request
from submission.submit.plan import Step
from submission.submit.workspace import Workspace
from sut.errors import UsageError
from sut.machine import facts as machine_facts
from sut.record.node_machine import NodeAccelerator, NodeMachine
from sut.record.nodes import NodeRecord
from sut.record.run_record import RunRecord
from sut.settings.settings import RunConfig

FACTS = replace(machine_facts.facts(), python="3.12.1", processor="A CPU", cores=8, packages={"torch": "2.13.0"})
GPU = NodeAccelerator("NVIDIA H100", 80 << 30)
NODE = NodeMachine(
    facts=FACTS,
    threads=4,
    description={"host_processor_model_name": "A CPU", "host_processors_per_node": "1"},
    accelerators=(GPU, GPU),
)
OTHER = replace(
    NODE,
    threads=2,
    description={"host_processor_model_name": "B CPU", "host_processors_per_node": "2"},
    accelerators=(GPU,),
)


def test_equal_nodes_are_described_once() -> None:
    found = of_nodes([NODE, NODE, NODE], "gpu")
    assert found == {
        "number_of_nodes": "3",
        "host_processor_model_name": "A CPU",
        "host_processors_per_node": "1",
        "accelerators_per_node": "2",
        "accelerator_model_name": "NVIDIA H100",
        "accelerator_memory_capacity": "80 GiB",
        "framework": "PyTorch 2.13.0",
        "other_software_stack": "Python 3.12.1, torch 2.13.0",
    }


def test_nodes_that_differ_are_side_by_side_and_numbers_are_for_a_person_to_say() -> None:
    found = of_nodes([NODE, OTHER], "gpu")
    assert found["host_processor_model_name"] == "A CPU; B CPU"
    assert not {"host_processors_per_node", "accelerators_per_node"} & found.keys()


def test_a_node_that_says_nothing_of_its_machine() -> None:
    assert of_nodes([NodeMachine()], "pytorch")["accelerator_model_name"] == "N/A"
    assert set(described_machines.of_this("fake")) >= {"number_of_nodes", "framework"}


@pytest.mark.parametrize(("tls", "protocol"), [(None, "TCP: frames"), (Path("ca"), "TCP, TLS 1.3: frames")])
def test_what_is_known_of_the_network(tls: Path | None, protocol: str) -> None:
    found = of_network(RunConfig(tls_ca=tls), [NODE, OTHER])
    assert found["network_protocol"].startswith(protocol) and found["number_connections"] == "2"
    assert found["net_software_stack_sut"] == f"sockets of Python 3.12.1, {FACTS.operating_system}"
    assert set(found) <= set(rounds.NETWORK_KEYS)


def test_keys_of_the_network_need_the_flag(tmp_path: Path) -> None:
    from submission.package.system_description import describe

    toml = tmp_path / "system.toml"
    toml.write_text('network_rate = "10 Gb/s"\n', encoding="utf-8")
    words = ["--submitter", "A", "--output-dir", str(tmp_path), "--system-toml", str(toml), "--short"]
    with pytest.raises(UsageError, match=r"found network_rate in .*, or type --network-division"):
        describe(request.parse(words)[0])


def node(name: str, machine: NodeMachine) -> NodeRecord:
    return NodeRecord(
        address=name, name=name, instances=2, planned_for="Server", sent="tokens", samples_per_s=1.0, batches=1,
        samples=1, machine=encode(machine),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("second", "threads"), [(NODE, "4 of 4 threads"), (OTHER, "4 of 4 or 2 threads"), (NodeMachine(), "4 of 4 threads")]
)
def test_the_documents_of_a_result_name_the_nodes(tmp_path: Path, second: NodeMachine, threads: str) -> None:
    dataset = tmp_path / "dev.json"
    dataset.write_text("{}", encoding="utf-8")
    asked, _ = request.parse(["--submitter", "A", "--output-dir", str(tmp_path)])
    config = RunConfig(dataset=dataset, executor="remote", node="a:1,b:1")
    model = RANDOM_GEOMETRIES["mobilebert-14"]
    base = records.record(config=config, geometry=model, nodes=(node("a:1", NODE), node("b:1", second)), machine=FACTS)
    record = replace(base, instances_ready=base.instances_ready and base.instances_ready[:1] * 4)
    step = Step("Offline", "performance", config, 1.0)
    found = weights.describe(asked.run)
    text = documents.readme(asked, Workspace(tmp_path), "Offline", found, {"performance": record}, [step])
    assert f"| {threads} each |" in text and "None" not in text
    assert "| node a:1 | 2 instances; A CPU, 8 cores |" in text and "| LoadGen's machine | A CPU, 8 cores |" in text
    measured = json.loads(documents.measurements(asked, found, {"performance": record}, {}))
    assert [one["name"] for one in measured["nodes"]] == ["a:1", "b:1"]
    assert measured["model"] == "MobileBERT, 14 layers, hidden size 512" and f"| model | {measured['model']} |" in text
    assert decode(RunRecord, encode(record)).geometry == model
