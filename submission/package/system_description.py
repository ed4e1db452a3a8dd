"""systems/<id>.json: facts of the machine and of the runs, plus those that a person gives in a TOML file.

Nothing is invented: if a required key has no value, the submission stops before its first run and writes a TOML file
with the missing keys, to be filled in. A trial uses "unknown (trial)" instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from foundation.bounded_readers import SETTINGS_BYTES, UnreadableError, read_toml
from foundation.suggest import did_you_mean
from submission.package import described_machines
from submission.rules import rounds
from submission.submit import workspace
from submission.submit.request import SubmissionRequest
from sut.errors import UsageError
from sut.running import remote_instances

UNKNOWN, _UNKNOWN_NUMBER = "unknown (trial)", "0"  # the checkers crash on a word for a number
_KEYS = (*rounds.SYSTEM_KEYS, *rounds.SYSTEM_KEYS_MAY_BE_EMPTY, *rounds.NETWORK_KEYS)
# Comments in the TOML file that is to be filled in.
_HINTS = {
    "status": "available, preview or rdi (research, development, internal)",
    "system_name": "the name under which the system is sold or known",
    "host_memory_configuration": "for example 8 x 32 GB DDR5-4800",
    "host_networking": "for example 10 GbE; N/A if there is none",
    "host_networking_topology": "for example N/A for a single node",
    "cooling": "air, liquid, passive …",
    "network_type": "Ethernet, InfiniBand, Wi-Fi …",
    "network_media": "copper, fibre, air …",
    "network_rate": "of the slowest link, for example 10 Gb/s",
    "network_topology": "for example LoadGen's node and two SUT nodes at one switch",
    "nic_loadgen": "the network card of LoadGen's machine",
    "number_nic_loadgen": "how many of them are used",
    "nic_sut": "the network card of each SUT node",
    "number_nic_sut": "how many of them a node uses",
}


def describe(request: SubmissionRequest, precision: str | None = None, of_model: Sequence[str] = ()) -> dict[str, str]:
    """All 35 keys, and 13 more of a system behind a network.

    Args:
        precision: that runs, if it is not the setting (an .onnx file has its own).
        of_model: what distinguishes a model of one's own, for the notes.

    Raises:
        UsageError: a key is unknown or wrong, or a required one has no value (allowed in a trial).
    """
    given = read_toml_facts(request.system_toml)
    if not request.run.network_division and (network := [key for key in given if key in rounds.NETWORK_KEYS]):
        raise UsageError(
            f"found {', '.join(network)} in {request.system_toml}, which a system has only behind a network. Remove "
            "them, or type --network-division."
        )
    found = (
        dict.fromkeys(rounds.SYSTEM_KEYS_MAY_BE_EMPTY, "")
        | known(request, precision or request.run.precision, of_model)
        | given
    )
    required = [*rounds.SYSTEM_KEYS, *(rounds.NETWORK_KEYS if request.run.network_division else ())]
    missing = [key for key in required if not found.get(key)]
    if missing and not request.short:
        raise _open_keys(request, missing)
    found |= {key: _UNKNOWN_NUMBER if key in rounds.SYSTEM_KEYS_INTEGER else UNKNOWN for key in missing}
    if request.short and "status" in missing:
        found["status"] = "rdi"
    _check_values(request, found)
    described = {key: found[key] for key in (*required, *rounds.SYSTEM_KEYS_MAY_BE_EMPTY)}
    return described | ({rounds.IS_NETWORK: "true"} if request.run.network_division else {})


def known(request: SubmissionRequest, precision: str, of_model: Sequence[str] = ()) -> dict[str, str]:
    """The facts that need no person: from the request, the machines and the software."""
    return {
        **_of_machines(request),
        "division": request.division,
        "submitter": request.submitter,
        "system_type": "edge",
        "sw_notes": "; ".join([f"backend {request.run.backend}, precision {precision}", *of_model]),
    }


def _of_machines(request: SubmissionRequest) -> dict[str, str]:
    run = request.run
    if run.executor == "ray":  # learns its nodes when it starts: a person describes them
        return {}
    if run.executor != "remote":
        return described_machines.of_this(run.backend)
    nodes = remote_instances.machines(run)
    network = described_machines.of_network(run, nodes) if run.network_division else {}
    return described_machines.of_nodes(nodes, run.backend) | network


def read_toml_facts(path: Path) -> dict[str, str]:
    """The facts that a person gives; empty without a file. Raises UsageError."""
    if not path.exists():
        return {}
    try:
        values = read_toml(path, SETTINGS_BYTES)
    except UnreadableError as error:
        raise UsageError(
            f"expected a system description as TOML in {path}, found: {error}. Correct the file."
        ) from error
    for key, value in values.items():
        if key not in _KEYS:
            hint = did_you_mean(key, _KEYS) or f" Known: {', '.join(_KEYS)}."
            raise UsageError(f"found an unknown key {key!r} in {path}.{hint}")
        if not isinstance(value, str):
            raise UsageError(f'expected text for {key} in {path}, found {value!r}. Write {key} = "{value}".')
    return {key: value for key, value in values.items() if value}


def _check_values(request: SubmissionRequest, found: Mapping[str, str]) -> None:
    if found["status"] not in rounds.STATUSES:
        expected = ", ".join(rounds.STATUSES)
        raise UsageError(
            f"expected one of {expected} as status in {request.system_toml}, found {found['status']!r}. "
            "Correct it there."
        )
    for key, value in (("submitter", request.submitter), ("division", request.division), ("system_type", "edge")):
        if found[key] != value:
            raise UsageError(
                f"expected {key} {value!r} as on the command line, found {found[key]!r} in the TOML file. "
                "Remove it there."
            )
    for key in rounds.SYSTEM_KEYS_INTEGER:
        if not found[key].isdigit() and not request.short:
            raise UsageError(
                f'expected a number as text for {key}, such as "1", found {found[key]!r}. '
                f"Correct it in {request.system_toml}."
            )


def _open_keys(request: SubmissionRequest, missing: list[str]) -> UsageError:
    template = request.output_dir / f"{request.system}.toml"
    head = f"# Facts of {request.system} that the machine does not report. Fill in and save as {request.system_toml}\n"
    lines = [f'{key} = ""{f"  # {_HINTS[key]}" if key in _HINTS else ""}' for key in missing]
    if not template.exists():
        workspace.write(template, head + "\n".join(lines) + "\n")
    return UsageError(
        f"expected {', '.join(missing)} of the system in {request.system_toml}, found none. Fill in {template} "
        "and save it there, or type --system-toml with its path."
    )
