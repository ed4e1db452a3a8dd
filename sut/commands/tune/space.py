"""What a tuning may choose: engines first, then one level after another, each a setting or two with its values.

A level says which values it has for one candidate, given what a run of that candidate chose by itself: so "half and
twice the tokens of a batch" fits a CPU and a GPU, and a value that the run chose anyway is not tried twice. A --set
replaces the level of its setting, or adds one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import backends
from backends import BACKENDS
from backends.errors import BackendError
from sut.commands.sweep.grid import Axis, Value, point_text
from sut.errors import UsageError
from sut.machine import topology
from sut.machine.topology import Machine
from sut.settings.resolve import resolve, spelt
from sut.settings.setting import flag
from sut.settings.settings import RunConfig

Settings = Mapping[str, Value]
_ENGINE = ("backend", "precision")
_CORES = ("instances", "cores_per_instance")
_BATCH = "max_batch_tokens"
_BATCH_FACTORS = (0.5, 2)  # of the tokens that a run chooses


@dataclass(frozen=True)
class Candidate:
    """One configuration: the chosen settings as (name, value), in the order of their levels."""

    chosen: tuple[tuple[str, Value], ...]

    @classmethod
    def of(cls, settings: Settings) -> Candidate:
        return cls(tuple(settings.items()))

    @property
    def settings(self) -> dict[str, Value]:
        return dict(self.chosen)

    @property
    def engine(self) -> tuple[Value, Value]:
        """(backend, precision): what decides the accuracy."""
        found = self.settings
        return found["backend"], found["precision"]

    def with_settings(self, settings: Settings) -> Candidate:
        return Candidate.of(self.settings | dict(settings))

    def __str__(self) -> str:
        backend, precision = self.engine
        rest = {name: value for name, value in self.chosen if name not in _ENGINE}
        return f"{backend} {precision} {point_text(rest)}".rstrip()


@dataclass(frozen=True)
class Level:
    """A further choice. `choices` gets what a run of a candidate chose, by the name of the setting."""

    name: str
    choices: Callable[[Candidate, Settings], Sequence[Settings]]

    def expand(self, candidate: Candidate, chosen: Settings) -> list[Candidate]:
        """The candidate with each value of this level, without those that it has already."""
        fresh = [one for one in self.choices(candidate, chosen) if any(chosen.get(n) != v for n, v in one.items())]
        return [candidate.with_settings(one) for one in fresh]


@dataclass(frozen=True, kw_only=True)
class Space:
    """All that may be chosen, and what is fixed."""

    engines: tuple[Candidate, ...]
    levels: tuple[Level, ...]
    scenario: str
    cores: int  # of the machine
    values: Mapping[str, Any]  # given flags
    toml: Mapping[str, Any]

    def config(self, candidate: Candidate) -> RunConfig:
        """Raises UsageError: these settings do not go together."""
        return resolve({**self.values, **candidate.settings}, self.toml)

    def is_possible(self, candidate: Candidate) -> bool:
        try:
            self.config(candidate)
        except UsageError:
            return False
        return True


def space(axes: Sequence[Axis], values: Mapping[str, Any], toml: Mapping[str, Any], machine: Machine) -> Space:
    """The space of a command line: what is given is fixed, what an axis lists is tried, the rest is ours to choose.

    Raises:
        UsageError: settings that do not go together, or no engine can run them.
    """
    listed, given = {axis.field: axis.values for axis in axes}, {**toml, **values}
    for name in listed.keys() & values.keys():
        raise UsageError(f"{flag(name)} is tried by --set. Remove the flag.")
    scenario = resolve({name: value for name, value in given.items() if name not in _ENGINE}).scenario
    taken = given.keys() | listed.keys()
    own = [level for level, names in _own_levels(machine, scenario) if taken.isdisjoint(names)]
    others = [axis for axis in axes if axis.field not in _ENGINE]
    first = {axis.field: axis.values[0] for axis in others}
    levels = (*own, *(_listed(axis) for axis in others if len(axis.values) > 1))
    cores = len({cpu.core for cpu in machine.cpus})
    found = Space(engines=(), levels=levels, scenario=scenario, cores=cores, values=values, toml=toml)
    engines = (Candidate.of({"backend": one, "precision": two, **first}) for one, two in _engines(listed, given))
    possible = tuple(filter(found.is_possible, engines))
    if not possible:
        raise UsageError("expected a backend that runs this model here, with a precision that it has, found none.")
    return replace(found, engines=possible)


def _engines(listed: Mapping[str, Sequence[Value]], given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(backend, precision), those that need no built engine first, so that a build delays no other figure."""
    found = [
        (name, precision, BACKENDS[name].precisions.get(precision, ""))
        for name in _values("backend", listed, given) or _usable()
        for precision in _values("precision", listed, given) or BACKENDS[name].precisions
    ]
    return ((name, precision) for name, precision, kind in sorted(found, key=lambda one: one[2] == "engine"))


def _values(name: str, listed: Mapping[str, Sequence[Value]], given: Mapping[str, Any]) -> list[str]:
    found = listed.get(name, (given[name],) if name in given else ())
    return [spelt(name, value) if name == "backend" else str(value) for value in found]


def _usable() -> Iterator[str]:
    """The backends that run a model here, those of other installed packages included."""
    for name, entry in BACKENDS.working().items():
        if entry.runs_model:
            with suppress(BackendError):
                backends.check(name)
                backends.accelerators(name)
                yield name


def _own_levels(machine: Machine, scenario: str) -> Iterator[tuple[Level, set[str]]]:
    """Each level that is tried without a --set, and the settings of which none may be given."""
    plans = _plans(machine, scenario)
    yield Level("cores", lambda candidate, chosen: _instances(candidate, chosen, plans)), {*_CORES, "threads"}
    if scenario == "Offline":  # Server forms batches by its latency, a stream has one query at a time
        yield Level("batches", _batches), {_BATCH, "batch_size"}


def _plans(machine: Machine, scenario: str) -> list[Settings]:
    """Ways to divide the cores evenly: a whole node for each instance, half of it, a quarter, down to one core."""
    per_node = Counter(node for _, node in {(cpu.core, cpu.node) for cpu in machine.cpus})
    widest = min(max(per_node.values()), int(machine.quota) if machine.quota and machine.quota >= 1 else 1 << 30)
    sizes = sorted({max(1, widest >> halvings) for halvings in range(widest.bit_length())})
    counts = {size: len(topology.plan(machine, scenario, None, size)) for size in sizes}
    return [dict(zip(_CORES, (counts[size], size), strict=True)) for size in sizes]


def _instances(candidate: Candidate, chosen: Settings, plans: Sequence[Settings]) -> Sequence[Settings]:
    if not BACKENDS[str(candidate.engine[0])].accelerators:
        return plans
    return [{"instances": 2 * int(chosen.get("instances", 1))}]  # a second one for each GPU, which hides the host


def _batches(_: Candidate, chosen: Settings) -> Sequence[Settings]:
    tokens = chosen.get(_BATCH)
    return [{_BATCH: max(1, int(factor * tokens))} for factor in _BATCH_FACTORS] if isinstance(tokens, int) else []


def _listed(axis: Axis) -> Level:
    return Level(axis.field, lambda _, __: [{axis.field: value} for value in axis.values])
