"""The doctor's report as data: the table and the JSON are both made from it."""

from __future__ import annotations

from dataclasses import dataclass

from sut.commands.doctor.probe import Trial
from sut.machine.facts import MachineFacts


@dataclass(frozen=True)
class LoadGen:
    """The benchmark's own library."""

    version: str | None
    round: str | None  # whose seeds it carries; None: of no round that is known here
    found: str  # what was found where it does not work, else ""


@dataclass(frozen=True)
class Stored:
    """What lies in the cache, of one kind."""

    what: str
    count: int
    size_bytes: int


@dataclass(frozen=True)
class Missing:
    """What is not there, what it would bring, and the line to type."""

    what: str
    brings: str
    todo: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """All of it; the JSON has these names."""

    works: bool  # LoadGen and the core's backend
    machine: MachineFacts
    loadgen: LoadGen
    backends: tuple[Trial, ...]
    extras: dict[str, bool]  # installed?
    fetched: tuple[str, ...]  # names of `sut assets` that are there, whole
    cache_dir: str
    cache: tuple[Stored, ...]
    missing: tuple[Missing, ...]
