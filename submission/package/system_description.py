"""systems/<id>.json: what the machine tells, what the runs used, and what only a person knows, out of a TOML file.

Nothing is invented: where a key that must say something is left open, the submission stops before its first run and
leaves a TOML file with those keys to fill in. A trial says "unknown (trial)" instead.
"""

from __future__ import annotations

import difflib
import platform
import tomllib
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

from backends import BACKENDS, accelerators
from backends.base import Accelerator
from submission.package import machine
from submission.rules import rounds
from submission.submit import workspace
from submission.submit.request import Order
from sut.errors import UsageError
from sut.machine import facts as machine_facts

UNKNOWN = "unknown (trial)"
_KEYS = (*rounds.SYSTEM_KEYS, *rounds.SYSTEM_KEYS_MAY_BE_EMPTY)
# The engine's distribution and its name, per backend.
_ENGINES = {
    "onnxruntime": ("onnxruntime", "ONNX Runtime"),
    "pytorch": ("torch", "PyTorch"),
    "openvino": ("openvino", "OpenVINO"),
    "gpu": ("torch", "PyTorch"),
}
# What a person is asked, in the words of the file that is to be filled in.
_HINTS = {
    "status": "available, preview or rdi (research, development, internal)",
    "system_name": "what the system is sold or known as",
    "host_memory_configuration": "for example 8 x 32 GB DDR5-4800",
    "host_networking": "for example 10 GbE; N/A where there is none",
    "host_networking_topology": "for example N/A for a single node",
    "cooling": "air, liquid, passive …",
}


def describe(order: Order) -> dict[str, str]:
    """All 35 keys.

    Raises:
        UsageError: a key is unknown or wrong, or one that must say something is left open (not in a trial).
    """
    said = _said(order.system_toml)
    found = dict.fromkeys(rounds.SYSTEM_KEYS_MAY_BE_EMPTY, "") | known(order) | said
    missing = [key for key in rounds.SYSTEM_KEYS if not found.get(key)]
    if missing and not order.short:
        raise _open_keys(order, missing)
    found |= dict.fromkeys(missing, UNKNOWN)
    if order.short and "status" in missing:
        found["status"] = "rdi"
    _check_words(order, found)
    return {key: found[key] for key in _KEYS}


def known(order: Order) -> dict[str, str]:
    """What needs no person: the order, the machine, the software."""
    used = accelerators(order.run.backend)
    versions = ", ".join(f"{name} {version}" for name, version in machine_facts.versions().items())
    return {
        **of_accelerators(used),
        **machine.read(),
        "division": order.division,
        "submitter": order.submitter,
        "system_type": "edge",
        "number_of_nodes": "1",
        "framework": _framework(order.run.backend),
        "other_software_stack": f"Python {platform.python_version()}, {versions}",
        "hw_notes": "; ".join(f"{gpu} is present and not used" for gpu in machine.gpus() if not used),
        "sw_notes": f"backend {order.run.backend}, precision {order.run.precision}",
    }


def of_accelerators(used: Sequence[Accelerator]) -> dict[str, str]:
    """What the driver knows of those that compute; how they are joined it does not. None, where the processor does: an
    accelerator in the machine takes no part then."""
    if not used:
        return {key: "N/A" for key in _KEYS if key.startswith("accelerator")} | {"accelerators_per_node": "0"}
    return {
        "accelerators_per_node": str(len(used)),
        "accelerator_model_name": ", ".join(dict.fromkeys(one.name for one in used)),
        "accelerator_memory_capacity": f"{used[0].memory_bytes / 2**30:.0f} GiB",
    }


def _framework(backend: str) -> str:
    if backend not in _ENGINES:
        return f"backend {backend}: NO MODEL RAN" if backend in BACKENDS else backend
    distribution, name = _ENGINES[backend]
    return f"{name} {metadata.version(distribution)}"


def _said(path: Path) -> dict[str, str]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"expected a system's description as TOML in {path}, found: {error}.") from error
    for key, value in values.items():
        if key not in _KEYS:
            near = difflib.get_close_matches(key, _KEYS, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"Known: {', '.join(_KEYS)}."
            raise UsageError(f"found an unknown key {key!r} in {path}. {hint}")
        if not isinstance(value, str):
            raise UsageError(f'expected text for {key} in {path}, found {value!r}. Write {key} = "{value}".')
    return {key: value for key, value in values.items() if value}


def _check_words(order: Order, found: Mapping[str, str]) -> None:
    if found["status"] not in rounds.STATUSES:
        wanted = ", ".join(rounds.STATUSES)
        raise UsageError(f"expected status out of {wanted} in {order.system_toml}, found {found['status']!r}.")
    for key, value in (("submitter", order.submitter), ("division", order.division), ("system_type", "edge")):
        if found[key] != value:
            raise UsageError(f"expected {key} {value!r} as on the command line, found {found[key]!r} in the TOML file.")
    for key in rounds.SYSTEM_KEYS_INTEGER:
        if not found[key].isdigit() and not order.short:
            raise UsageError(f'expected a number as text for {key}, such as "1", found {found[key]!r}.')


def _open_keys(order: Order, missing: list[str]) -> UsageError:
    template = order.output_dir / f"{order.system}.toml"
    head = f"# What only a person knows of {order.system}. Fill in, and save as {order.system_toml}\n"
    lines = [f'{key} = ""{f"  # {_HINTS[key]}" if key in _HINTS else ""}' for key in missing]
    if not template.exists():
        workspace.write(template, head + "\n".join(lines) + "\n")
    return UsageError(
        f"expected {', '.join(missing)} of the system in {order.system_toml}, found none. Fill in {template} "
        f"and put it "
        "there, or name it with --system-toml."
    )
