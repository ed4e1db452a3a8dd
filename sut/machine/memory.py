"""Checks that the instances fit into memory before the first one is started.

A lower bound: a refused run would certainly have been killed by the OOM killer, which gives no reason.
"""

from __future__ import annotations

import math
import resource
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from backends.bert.model import Model
from foundation.people_numbers import count, gibibytes
from sut.errors import UsageError
from sut.machine import cgroups
from sut.machine.topology import Place

_WEIGHT_BYTES = _VALUE_BYTES = 4  # float32: the type of every model file and of activations


@dataclass(frozen=True)
class MemoryNeed:
    """Memory that the instances need, in bytes."""

    weights: int  # one copy
    copies: int
    activations: int  # of one instance, for its largest batch
    instances: int

    @property
    def total(self) -> int:
        return self.weights * self.copies + self.activations * self.instances


def need(model: Model, places: Sequence[Place], batch_tokens: int, *, forked: bool) -> MemoryNeed | None:
    """The memory that a run needs; None if the model's geometry is unknown.

    Args:
        batch_tokens: tokens of the largest batch, as far as it is computed in this memory.
        forked: instances of a NUMA node share one copy of the weights.
    """
    geometry = model.config
    if geometry is None:
        return None
    weights = sum(math.prod(shape) for shape in geometry.shapes().values()) * _WEIGHT_BYTES
    copies = len({place.node for place in places}) if forked else len(places)
    values_per_token = 4 * geometry.hidden_size + geometry.intermediate_size  # query, key, value, residual; inner layer
    return MemoryNeed(weights, copies, batch_tokens * values_per_token * _VALUE_BYTES, len(places))


def available(root: Path = Path("/")) -> int | None:
    """Bytes available to this run by the kernel, the cgroups and `ulimit -v`; None if unknown."""
    lines = [line.split() for line in cgroups.text(root / "proc/meminfo").splitlines()]
    free = [float(fields[1]) * 1024 for fields in lines if fields[:1] == ["MemAvailable:"]]
    granted = [found for found in (cgroups.memory_bytes(root), _address_space(root)) if found is not None]
    return int(min([*free, *granted])) if free or granted else None


def _address_space(root: Path) -> float | None:
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    used = cgroups.text(root / "proc/self/statm").split()[:1]
    return None if limit == resource.RLIM_INFINITY or not used else limit - int(used[0]) * resource.getpagesize()


def check(needed: MemoryNeed | None, found: int | None) -> None:
    """Raises UsageError, which says what to lower, if the instances do not fit."""
    if needed is None or found is None or needed.total <= found:
        return
    raise UsageError(
        f"expected about {gibibytes(needed.total)} of memory: {gibibytes(needed.weights)} of weights × "
        f"{count(needed.copies, 'copy', 'copies')} and {gibibytes(needed.activations)} for the largest batch × "
        f"{count(needed.instances, 'instance')}; found {gibibytes(found)} available. "
        f"Lower {_to_lower(needed)}."
    )


def _to_lower(needed: MemoryNeed) -> str:
    if needed.activations * needed.instances > needed.weights * needed.copies:
        return "--batch-size or --max-batch-tokens, or --instances"
    return "--instances, or type a smaller --model" + (
        "; --executor processes shares weights where the backend can" * (needed.copies > 1)
    )
