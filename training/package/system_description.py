"""systems/<system>.json: facts of the runs and of this machine, and those that a person gives in a TOML file.

Nothing is invented: without a value for a required key no package is made. This machine's own facts are used only if
its processor is the one that the runs were made on.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from foundation.bounded_readers import SETTINGS_BYTES, UnreadableError, read_toml
from foundation.suggest import did_you_mean
from sut.errors import UsageError
from sut.machine import description, facts
from training.package import rules
from training.records.training_record import TrainingRecord

_HINTS = {
    "status": f"{', '.join(rules.STATUSES)} (rdi: research, development, internal)",
    "system_name": "the name under which the system is sold or known",
    "host_memory_configuration": "for example 8 x 32 GB DDR5-4800",
    "host_networking": "for example 10 GbE; N/A if there is none",
    "host_networking_topology": "for example N/A for a single node",
    "cooling": "air, liquid, passive …",
}
_KNOWN = (*rules.SYSTEM_KEYS, *rules.OF_INFERENCE)


def describe(record: TrainingRecord, submitter: str, toml: Path) -> dict[str, str]:
    """All 33 keys, in the checker's order.

    Raises:
        UsageError: the file is unreadable, a key is unknown or wrong, or a required one has no value.
    """
    given = read_facts(toml)
    for key, value in (("submitter", submitter), ("division", record.division)):
        if given.get(key, value) != value:
            raise UsageError(f"expected {key} {value!r} in {toml}, found {given[key]!r}. Remove it there.")
    found = dict.fromkeys(rules.SYSTEM_KEYS_MAY_BE_EMPTY, "") | _known(record) | given
    found |= {"submitter": submitter, "division": record.division}
    missing = [key for key in rules.SYSTEM_KEYS if key not in rules.SYSTEM_KEYS_MAY_BE_EMPTY and not found.get(key)]
    if missing:
        lines = "\n".join(f'    {key} = ""{f"  # {_HINTS[key]}" if key in _HINTS else ""}' for key in missing)
        raise UsageError(f"expected a value for each key in {toml}, found none for {len(missing)}. Add:\n{lines}")
    return {key: found[key] for key in rules.SYSTEM_KEYS}


def read_facts(toml: Path) -> dict[str, str]:
    """The facts that a person gives. Raises UsageError."""
    try:
        values = read_toml(toml, SETTINGS_BYTES)
    except UnreadableError as error:
        raise UsageError(
            f"expected a system description as TOML in {toml}, found: {error}. "
            "Copy configs/systems/example.toml and fill it in."
        ) from error
    for key, value in values.items():
        if key not in _KNOWN:
            hint = did_you_mean(key, _KNOWN) or f" Known: {', '.join(rules.SYSTEM_KEYS)}."
            raise UsageError(f"found an unknown key {key!r} in {toml}.{hint}")
        if not isinstance(value, str):
            raise UsageError(f'expected text for {key} in {toml}, found {value!r}. Write {key} = "{value}".')
    status = values.get("status")
    if status and status not in (*rules.STATUSES, *rules.STATUSES.values()):
        expected = ", ".join(rules.STATUSES)
        raise UsageError(f"expected one of {expected} as status in {toml}, found {status!r}. Correct it there.")
    values["status"] = rules.STATUSES.get(status or "", status or "")
    return {key: value for key, value in values.items() if value and key not in rules.OF_INFERENCE}


def _known(record: TrainingRecord) -> dict[str, str]:
    """The facts that need no person."""
    machine, life = record.machine, record.lives[-1]
    memory = {"host_memory_capacity": f"{machine.memory_bytes / 2**30:.1f} GiB"} if machine.memory_bytes else {}
    versions = ", ".join(f"{name} {version}" for name, version in machine.packages.items())
    return {
        "host_processor_model_name": machine.processor,
        "operating_system": machine.operating_system,
        **memory,
        **_of_this_machine(record),
        "number_of_nodes": str(life.nodes),
        **_accelerators(record),
        "framework": f"PyTorch {record.versions.get('torch') or machine.packages.get('torch', '')}",
        "other_software_stack": f"Python {machine.python}, {versions}",
        "sw_notes": f"{record.shape}, {record.parallel}, {record.precision}; {machine.commit or 'no commit known'}",
    }


def _of_this_machine(record: TrainingRecord) -> Mapping[str, str]:
    if facts.kind()["processor"] != record.machine.processor:
        return {}
    found = description.read()
    found.pop("host_network_card_count", None)
    return found | {"host_processor_vcpu_count": str(os.cpu_count() or record.machine.cores)}


def _accelerators(record: TrainingRecord) -> dict[str, str]:
    """The driver does not know how accelerators are connected: that is for a person."""
    if record.device.startswith("cpu"):
        keys = (key for key in rules.SYSTEM_KEYS if key.startswith("accelerator_"))
        return dict.fromkeys(keys, "N/A") | {"accelerators_per_node": "0"}
    life = record.lives[-1]
    return {
        "accelerators_per_node": str(life.devices // max(life.nodes, 1)),
        "accelerator_model_name": record.device_name,
    }
