"""The output of a comparison: a table of two rows per preset, an explanation of its columns, and one line of JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table

from foundation import terminal
from foundation.people_numbers import figure
from foundation.typed_json import encode
from sut.commands.compare.engines import PresetEngine
from sut.commands.compare.runs import ComparisonRow

_COLUMNS = ("", "{metric} %", "latency ms", "samples /s", "engine ms", "engine /s", "build s", "eval s", "devices")
_ABOUT = (
    "latency: SingleStream's mean; samples/s: Offline; both under LoadGen, measured end to end. engine: the "
    "same two inside the backend only. eval: the accuracy run, from its start to its end. devices: instances × cores."
)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One preset compared with the reference."""

    preset: str
    model: str
    dataset: str
    reference: ComparisonRow
    accelerated: ComparisonRow
    built: PresetEngine
    may_lose: float  # points of accuracy
    is_judged: bool  # False for random weights

    @property
    def lost(self) -> float:
        return self.reference.accuracy - self.accelerated.accuracy

    @property
    def passed(self) -> bool:
        """Whether the accuracy is kept and no run is invalid."""
        kept = not self.is_judged or self.lost <= self.may_lose
        return kept and not (self.reference.invalid or self.accelerated.invalid)

    def notes(self) -> list[str]:
        """The notices and warnings to print with the figures."""
        rows = {"reference": self.reference, "accelerated": self.accelerated}
        notes = list(dict.fromkeys(notice for row in rows.values() for notice in row.notices))
        notes += [f"INVALID, {name} {why}" for name, row in rows.items() for why in row.invalid]
        if self.built.is_foreign:
            on = self.built.built_on or {}
            notes.append(f"the engine was built on another kind of machine: {', '.join(on.values())}")
        return notes

    def facts(self) -> dict[str, object]:
        """The content of the JSON line."""
        return {**encode(self), "lost": self.lost, "passed": self.passed, "notes": self.notes()}


def show(one: Comparison) -> None:
    """Print one preset's table, its gate and its notes."""
    console = terminal.console()
    console.print(f"\n{one.preset}: {one.model} on {one.dataset}; {one.accelerated.samples_answered} samples scored")
    table = Table(box=None, padding=(0, 1, 0, 0))
    for heading in _COLUMNS:
        name = heading.format(metric=one.reference.metric)
        table.add_column(name, justify="right" if heading else "left", no_wrap=not heading)
    table.add_row(*_cells("reference", one.reference, None))
    table.add_row(*_cells("accelerated", one.accelerated, one.built.build_s))
    console.print(table)
    console.print(f"reference: {one.reference.what}, one sample at a time. accelerated: {one.accelerated.what}.")
    console.print(_ABOUT)
    console.print(_gate(one))
    for note in one.notes():
        console.print(f"note: {note}")


def _cells(name: str, row: ComparisonRow, build_s: float | None) -> list[str]:
    speeds = (row.latency_ms, row.samples_per_s, row.engine_latency_ms, row.engine_samples_per_s)
    seconds = ("–" if build_s is None else f"{build_s:.1f}", f"{row.evaluation_s:.1f}")
    devices = f"{row.instances} × {row.cores_per_instance}"
    return [name, f"{row.accuracy:.2f}", *map(figure, speeds), *seconds, devices]


def _gate(one: Comparison) -> str:
    what = f"{one.reference.metric} lost {one.lost:.2f} points, allowed: at most {one.may_lose:g}"
    if not one.is_judged:
        return f"not judged, the weights are random: {what}"
    return f"{'PASS' if one.lost <= one.may_lose else 'FAIL'}  {what}"


def json_line(compared: Sequence[Comparison]) -> str:
    """{"compare": […], "passed": …}"""
    facts = [one.facts() for one in compared]
    return json.dumps({"compare": facts, "passed": all(one.passed for one in compared)})
