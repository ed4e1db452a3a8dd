"""Compares the records of runs: settings, versions, machine, files, plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from foundation.typed_json import encode
from sut.record import figures, run_record
from sut.record.run_record import RunRecord

# Sections of two records that are compared, in addition to the figures.
_SECTIONS = ("machine", "distributions", "checksums", "engine", "topology", "config", "samples", "random_weights")
# Always differ: a replay has logs of its own, and is given what its preset stood for.
_OWN = ("config.log_dir", "config.preset")


@dataclass(frozen=True)
class Difference:
    """A value that differs between two records; None if one does not have it."""

    name: str  # its dotted path in run.json
    then: object
    now: object


def sections(then: RunRecord, now: RunRecord, among: Sequence[str] = _SECTIONS) -> list[str]:
    """The sections of `among` that both records have."""
    return [name for name in among if getattr(then, name) is not None and getattr(now, name) is not None]


def differences(then: RunRecord, now: RunRecord, among: Sequence[str]) -> list[Difference]:
    """The differences in these sections."""
    before, after = run_record.flat(then), run_record.flat(now)
    names = [name for name in dict.fromkeys([*before, *after]) if name.partition(".")[0] in among and name not in _OWN]
    pairs = (Difference(name, before.get(name), after.get(name)) for name in names)
    return [one for one in pairs if one.then != one.now]


def that_differ(records: Sequence[RunRecord]) -> list[str]:
    """The dotted paths of the values that are not the same in all records, in the sections that some record has."""
    flat = [run_record.flat(record) for record in records]
    names = dict.fromkeys(name for one in flat for name in one)
    among = [name for name in names if name.partition(".")[0] in _SECTIONS and name not in _OWN]
    return [name for name in among if any(one.get(name) != flat[0].get(name) for one in flat[1:])]


def content(
    then: RunRecord, now: RunRecord, names: tuple[str, str], among: Sequence[str] = _SECTIONS
) -> dict[str, Any]:
    """The differences as JSON values, by path in run.json, and the figures of both; `names` of the runs are keys."""
    found = differences(then, now, sections(then, now, among))
    a, b = names
    return {
        "verdicts": {a: then.verdict, b: now.verdict},
        "differences": [{"name": one.name, a: encode(one.then), b: encode(one.now)} for one in found],
        "figures": {a: figures.of(then), b: figures.of(now)},
    }
