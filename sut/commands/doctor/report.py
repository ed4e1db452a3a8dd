"""The doctor's report as data, from which the table and the JSON are made."""

from __future__ import annotations

from dataclasses import dataclass

from sut.commands.doctor.probe import BackendProbe
from sut.machine.facts import MachineFacts


@dataclass(frozen=True)
class LoadGen:
    """MLCommons' load generator."""

    version: str | None
    round: str | None  # the round of its seeds; None if unknown
    found: str  # the error if it does not work, else ""


@dataclass(frozen=True)
class CacheEntries:
    """The entries of one kind in the cache."""

    what: str
    count: int
    size_bytes: int


@dataclass(frozen=True)
class MissingPart:
    """A missing part, what it is for, and the command to install it."""

    what: str
    brings: str
    todo: str


@dataclass(frozen=True, kw_only=True)
class DoctorReport:
    """The whole report; the JSON has these names."""

    works: bool  # LoadGen and the core backend work
    machine: MachineFacts
    installation: str  # how this package is installed, in words
    loadgen: LoadGen
    backends: tuple[BackendProbe, ...]
    extras: dict[str, bool]  # whether it is installed
    fetched: tuple[str, ...]  # names of complete assets
    cache_dir: str
    cache: tuple[CacheEntries, ...]
    missing: tuple[MissingPart, ...]
