"""Whether the instances fit into memory, asked before the first of them is started.

An estimate from below, of three parts that are all stated: a run that is refused could not have gone well, and a
kernel that ends an instance in mid-run says less than one sentence does at the start.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from backends.bert.model import Model
from foundation.people_numbers import count, gibibytes
from sut.errors import UsageError
from sut.machine import cgroups
from sut.machine.topology import Place

_WEIGHT_BYTES = _VALUE_BYTES = 4  # float32, which every model is loaded from and activations are kept in


@dataclass(frozen=True)
class Need:
    """What the instances want, in bytes."""

    weights: int  # one copy
    copies: int
    activations: int  # of one instance, for its largest batch
    instances: int

    @property
    def total(self) -> int:
        return self.weights * self.copies + self.activations * self.instances


def need(model: Model, places: Sequence[Place], batch_tokens: int, *, forked: bool) -> Need | None:
    """What a run will want; None where the model's geometry is not known.

    Args:
        batch_tokens: of the largest batch.
        forked: instances of a NUMA node share one copy of the weights.
    """
    geometry = model.config
    if geometry is None:
        return None
    weights = sum(math.prod(shape) for shape in geometry.shapes().values()) * _WEIGHT_BYTES
    copies = len({place.node for place in places}) if forked else len(places)
    a_token = 4 * geometry.hidden_size + geometry.intermediate_size  # query, key, value, what goes around; inner layer
    return Need(weights, copies, batch_tokens * a_token * _VALUE_BYTES, len(places))


def available(root: Path = Path("/")) -> int | None:
    """Bytes that the kernel and the cgroups leave to this run; None where neither says."""
    lines = [line.split() for line in cgroups.text(root / "proc/meminfo").splitlines()]
    free = [float(words[1]) * 1024 for words in lines if words[:1] == ["MemAvailable:"]]
    granted = cgroups.memory_bytes(root)
    return int(min([*free, granted])) if granted is not None else int(free[0]) if free else None


def check(wanted: Need | None, found: int | None) -> None:
    """Raises UsageError when the instances cannot fit; it names what to lower."""
    if wanted is None or found is None or wanted.total <= found:
        return
    raise UsageError(
        f"expected about {gibibytes(wanted.total)} of memory: {gibibytes(wanted.weights)} of weights × "
        f"{count(wanted.copies, 'copy', 'copies')} and {gibibytes(wanted.activations)} for the largest batch × "
        f"{count(wanted.instances, 'instance')}; found {gibibytes(found)} available. "
        f"Lower {_to_lower(wanted)}."
    )


def _to_lower(wanted: Need) -> str:
    if wanted.activations * wanted.instances > wanted.weights * wanted.copies:
        return "--batch-size or --max-batch-tokens, or --instances"
    return "--instances, or take a smaller --model" + (
        "; --executor processes shares weights where the backend can" * (wanted.copies > 1)
    )
