"""Warnings of a run: what makes its figure lower than this machine could give. They change no verdict."""

from __future__ import annotations

from collections.abc import Collection

from foundation.people_numbers import count
from sut.machine import load
from sut.machine.load import Moment
from sut.machine.topology import Place

_BUSY = 0.25  # share of the cores that others may use without a word, and at least _BUSY_CORES
_BUSY_CORES = 0.5


def of(places: Collection[Place], threads: int | None, before: Moment) -> tuple[str, ...]:
    """The warnings of a run with these instances on this machine.

    Args:
        threads: of an instance.
        before: when the run was asked for; until now it has computed with a thread or two of its own.
    """
    cpus = {cpu for place in places for cpu in place.cpus}
    found = (
        _oversubscribed(places, threads),
        machine(load.other_cores(before, load.now(), cpus), len(cpus)),
        governed(load.slow_governor(cpus)),
    )
    return tuple(warning for warning in found if warning)


def _oversubscribed(places: Collection[Place], threads: int | None) -> str | None:
    fewest = min((place.cores for place in places), default=None)
    if threads is None or fewest is None or threads <= fewest:
        return None
    return f"{threads} threads share the {count(fewest, 'core')} of an instance, which is slow. Remove --threads"


def machine(others: float | None, cpus: int) -> str | None:
    """That other work keeps the machine busy."""
    if others is None or others < max(_BUSY_CORES, _BUSY * cpus):
        return None
    return f"other work keeps {others:.1f} of {count(cpus, 'core')} busy: figures will be lower than they could be"


def governed(governor: str | None) -> str | None:
    """That clocks are held down."""
    if governor is None:
        return None
    return f"the clocks' governor is {governor}: figures will be low. Type: cpupower frequency-set -g performance"
