"""The most that a machine was measured to do: its rates at a model's matrix products, and at reading weights.

Kept in the cache, a small file for each machine, size of products and precision: `sut tune` and `sut report
--measure-limit` measure, `sut report` draws. Nothing is taken from a data sheet.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from backends.bert.architectures import Geometry
from foundation import atomic_write, bounded_readers
from foundation.bounded_readers import UnreadableError
from foundation.typed_json import decode, encode
from sut.machine import facts, limits
from sut.record.run_record import RunRecord

_FOLDER = "limits"
# The products that a precision is held against; all int8 precisions use the same ones.
_PRODUCTS = {"fp32": "fp32", "bf16": "bf16", "int8": "int8", "int8-dynamic": "int8"}


class Key(NamedTuple):
    """What a limit depends on: the machine, the precision and the size of the products."""

    architecture: str
    processor: str
    cores: int
    products: str
    hidden_size: int
    intermediate_size: int


@dataclass(frozen=True, kw_only=True)
class MachineLimit:
    """The limit of a machine at one size of products in one precision."""

    version: int = 1
    measured: datetime
    processor: str
    cores: int
    precision: str
    hidden_size: int
    intermediate_size: int
    gops: float  # multiplications and additions, in 10⁹ a second
    ways: Mapping[str, float]  # the same by way to use the cores; the best of them is the limit
    read_gb_s: float


def key(record: RunRecord) -> Key | None:
    """Which limit a run has; None if none can be measured: it computed elsewhere, or its products are not known."""
    products, geometry, machine = _PRODUCTS.get(record.effective_precision), record.geometry, record.machine
    is_here = not record.nodes and not record.server and not (record.topology and record.topology.gpus)
    if products is None or geometry is None or machine is None or not is_here:
        return None
    sizes = geometry.hidden_size, geometry.intermediate_size
    return Key(machine.architecture, machine.processor, machine.cores, products, *sizes)


def is_of_this_machine(limit: Key) -> bool:
    """Whether it can be measured here."""
    here = facts.kind()
    return limit[:3] == (here["architecture"], here["processor"], facts.cores())


def path(limit: Key, cache_dir: Path) -> Path:
    """Where it is kept."""
    return cache_dir / _FOLDER / f"{hashlib.sha256(json.dumps(limit).encode()).hexdigest()[:32]}.json"


def read(limit: Key, cache_dir: Path) -> MachineLimit | None:
    """The limit as it was measured; None if it was not, or another version wrote it."""
    try:
        return decode(MachineLimit, bounded_readers.read_json(path(limit, cache_dir), bounded_readers.SETTINGS_BYTES))
    except UnreadableError:
        return None


def measure(limit: Key, geometry: Geometry, cache_dir: Path) -> MachineLimit | None:
    """Measure it on this machine and keep it; None without PyTorch. It takes some ten seconds.

    Raises:
        RunFailedError: it cannot be written.
    """
    found = _measured(limit, geometry)
    return None if found is None else keep(limit, found, cache_dir)


def keep(limit: Key, found: MachineLimit, cache_dir: Path) -> MachineLimit:
    """Keep it for later, and return what is kept: of two measurements the higher rates, since other work lowers them.

    Raises:
        RunFailedError: it cannot be written.
    """
    earlier, place = read(limit, cache_dir) or found, path(limit, cache_dir)
    best = replace(max(earlier, found, key=_gops), read_gb_s=max(earlier.read_gb_s, found.read_gb_s))
    with limits.named(f"keep the machine's limit in {place}"):
        place.parent.mkdir(parents=True, exist_ok=True)
        atomic_write.write_text(place, json.dumps(encode(best), indent=2) + "\n")
    return best


def _gops(found: MachineLimit) -> float:
    return found.gops


def _measured(limit: Key, geometry: Geometry) -> MachineLimit | None:
    with suppress(ImportError, RuntimeError):  # no PyTorch, or one without these kernels
        from backends.pytorch_cpu import product_peak

        gops, ways = product_peak.best(limit.products, geometry)
        return MachineLimit(
            measured=datetime.now(UTC),
            processor=limit.processor,
            cores=limit.cores,
            precision=limit.products,
            hidden_size=limit.hidden_size,
            intermediate_size=limit.intermediate_size,
            gops=gops,
            ways=ways,
            read_gb_s=product_peak.read_rate(),
        )
    return None
