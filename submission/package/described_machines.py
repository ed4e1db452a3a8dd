"""The keys of a system description that machines know: this one, or the nodes of a run, which describe themselves.

Nodes that differ have their values side by side. A key that must be a number is then left to a person.
"""

from __future__ import annotations

from collections.abc import Sequence

from backends import BACKENDS, accelerators
from backends.base import Accelerator
from submission.rules import rounds
from sut.machine import description
from sut.machine import facts as machine_facts
from sut.machine.facts import MachineFacts
from sut.record.node_machine import NodeAccelerator, NodeMachine
from sut.settings.settings import RunConfig


def of_this(backend: str) -> dict[str, str]:
    """This machine, as the whole system."""
    used = accelerators(backend)
    return {
        **of_accelerators(used),
        **description.read(),
        **_software(backend, machine_facts.facts()),
        "number_of_nodes": "1",
        "hw_notes": "; ".join(f"{gpu} is present and not used" for gpu in description.gpus() if not used),
    }


def of_nodes(nodes: Sequence[NodeMachine], backend: str) -> dict[str, str]:
    """The nodes of a run, as one system; LoadGen's machine is not part of it."""
    found = [_of_node(node, backend) for node in nodes]
    keys = dict.fromkeys(key for one in found for key in one)
    values = {key: list(dict.fromkeys(one[key] for one in found if one.get(key))) for key in keys}
    return {
        key: "; ".join(each) for key, each in values.items() if len(each) == 1 or key not in rounds.SYSTEM_KEYS_INTEGER
    } | {"number_of_nodes": str(len(nodes))}


def _of_node(node: NodeMachine, backend: str) -> dict[str, str]:
    software = _software(backend, node.facts) if node.facts else {}
    return {**of_accelerators(node.accelerators), **node.description, **software}


def of_network(run: RunConfig, nodes: Sequence[NodeMachine]) -> dict[str, str]:
    """What is known of the network between LoadGen and the nodes: the software of both sides."""
    stacks = dict.fromkeys(_stack(node.facts) for node in nodes if node.facts)
    return {
        "network_protocol": f"TCP{', TLS 1.3' if run.tls_ca else ''}: frames of mlperf-bert-sut",
        "number_connections": str(len(nodes)),
        "net_software_stack_loadgen": _stack(machine_facts.facts()),
        "net_software_stack_sut": "; ".join(stacks),
    }


def _stack(facts: MachineFacts) -> str:
    return f"sockets of Python {facts.python}, {facts.operating_system}"


def _software(backend: str, facts: MachineFacts) -> dict[str, str]:
    versions = ", ".join(f"{name} {version}" for name, version in facts.packages.items())
    return {"framework": _framework(backend, facts), "other_software_stack": f"Python {facts.python}, {versions}"}


def of_accelerators(used: Sequence[Accelerator | NodeAccelerator]) -> dict[str, str]:
    """The keys of the accelerators that compute, as far as the driver knows: it does not know their interconnect.

    Empty `used` means that the processor computes; an accelerator in the machine is then not part of the system."""
    if not used:
        absent = [
            key for key in (*rounds.SYSTEM_KEYS, *rounds.SYSTEM_KEYS_MAY_BE_EMPTY) if key.startswith("accelerator")
        ]
        return dict.fromkeys(absent, "N/A") | {"accelerators_per_node": "0"}
    return {
        "accelerators_per_node": str(len(used)),
        "accelerator_model_name": ", ".join(dict.fromkeys(one.name for one in used)),
        "accelerator_memory_capacity": f"{used[0].memory_bytes / 2**30:.0f} GiB",
    }


def _framework(backend: str, facts: MachineFacts) -> str:
    entry = BACKENDS[backend]
    if not entry.runs_anywhere:
        return f"backend {backend}: NO MODEL RAN"
    title = entry.title or backend.rpartition(":")[2]
    version = next((facts.packages.get(name, "") for name in machine_facts.engine_packages(backend)), "")
    return f"{title} {version}".rstrip()
