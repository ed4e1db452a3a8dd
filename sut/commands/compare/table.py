"""The output of a comparison: a table of two rows per preset, an explanation of its columns, and one line of JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from foundation import tables, terminal
from foundation.people_numbers import figure
from foundation.typed_json import encode
from sut.commands.compare.engines import PresetEngine
from sut.commands.compare.runs import ComparisonRow

_ABOUT = (
    "latency: SingleStream's mean; samples/s: Offline; both under LoadGen, measured end to end. engine: the same two "
    "inside the backend only. evaluation: the accuracy run, from its start to its end."
)
_NUMBERS = ("reference", "accelerated", "times as fast")
_BAR, _BAR_CELLS = "█", 18
_TINY = 0.1  # a ratio that is shown as 1/10
_SLOWER = 1.1  # times as slow as the reference: worth a remark
_APART, _APART_MS = 1.5, 1.0  # so is a latency this many times the engine's, and this much longer


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
        notes += [f"warning, {name}, {text}" for name, row in rows.items() for text in row.warnings]
        if self.built.is_foreign:
            on = self.built.built_on or {}
            notes.append(f"the engine was built on another kind of machine: {', '.join(on.values())}")
        return [*notes, *self._slower(), *(remark for name, row in rows.items() for remark in _apart(name, row))]

    def _slower(self) -> list[str]:
        """A remark for each of LoadGen's two figures that is worse than the reference's."""
        times = self.times_as_fast()
        named = {"latency": "a query takes", "samples_per_s": "a sample of Offline takes"}
        return [
            f"slower: {what} {figure(1 / times[name])} times as long as with the reference"
            for name, what in named.items()
            if 0 < times.get(name, 1.0) < 1 / _SLOWER
        ]

    def times_as_fast(self) -> dict[str, float]:
        """How many times as fast as the reference the preset is, by figure; above 1 is faster."""
        then, now = self.reference, self.accelerated
        pairs = {
            "latency": (then.latency_ms, now.latency_ms),
            "engine_latency": (then.engine_latency_ms, now.engine_latency_ms),
            "samples_per_s": (now.samples_per_s, then.samples_per_s),
            "engine_samples_per_s": (now.engine_samples_per_s, then.engine_samples_per_s),
        }
        return {name: above / below for name, (above, below) in pairs.items() if below}

    def facts(self) -> dict[str, object]:
        """The content of the JSON line."""
        found = {"lost": self.lost, "passed": self.passed, "times_as_fast": self.times_as_fast()}
        return {**encode(self), **found, "notes": self.notes()}


def _apart(name: str, row: ComparisonRow) -> Iterator[str]:
    """A remark where LoadGen's figure and the engine's own are far from each other."""
    latency_ms, engine_ms = row.latency_ms, row.engine_latency_ms
    if latency_ms > _APART * engine_ms and latency_ms - engine_ms > _APART_MS:
        yield (
            f"{name}: of {figure(latency_ms)} ms for a query, the engine takes {figure(engine_ms)} ms; the rest is "
            "waiting. The machine was busy, or has fewer free cores than the instance has threads"
        )
    if row.engine_samples_per_s > _APART * row.samples_per_s > 0:
        yield (
            f"{name}: instances that never wait for work would answer {figure(row.engine_samples_per_s)} samples/s, "
            f"LoadGen counts {figure(row.samples_per_s)}. The run was too short for that, or the machine was busy"
        )


def show(one: Comparison) -> None:
    """Print one preset's table, its gate and its notes."""
    console = terminal.console()
    samples = f"{one.accelerated.samples_answered:,} samples scored"
    console.print(f"\n{one.preset}: {one.model} on {one.dataset}; {samples}", soft_wrap=True)
    tables.show(("", *_NUMBERS, " "), _rows(one), _NUMBERS)
    console.print(f"reference: {one.reference.what}, one sample at a time. accelerated: {one.accelerated.what}.")
    console.print(_ABOUT)
    console.print(_gate(one))
    for note in one.notes():
        console.print(f"note: {note}", soft_wrap=True)


def _rows(one: Comparison) -> list[tuple[str, ...]]:
    """A row for each figure: both values, the ratio, and the ratio as a bar."""
    then, now, times = one.reference, one.accelerated, one.times_as_fast()
    longest = max(times.values(), default=1.0)
    speeds = {
        "latency": ("latency, ms", then.latency_ms, now.latency_ms),
        "engine_latency": ("  engine, ms", then.engine_latency_ms, now.engine_latency_ms),
        "samples_per_s": ("samples/s", then.samples_per_s, now.samples_per_s),
        "engine_samples_per_s": ("  engine, samples/s", then.engine_samples_per_s, now.engine_samples_per_s),
    }
    return [
        (f"{then.metric}, %", f"{then.accuracy:.2f}", f"{now.accuracy:.2f}", "", ""),
        *(
            (title, figure(before), figure(after), *_ratio(times.get(name), longest))
            for name, (title, before, after) in speeds.items()
        ),
        ("build, s", "–", "–" if one.built.build_s is None else f"{one.built.build_s:.1f}", "", ""),
        ("evaluation, s", f"{then.evaluation_s:.1f}", f"{now.evaluation_s:.1f}", "", ""),
        ("instances × cores", *(f"{row.instances} × {row.cores_per_instance}" for row in (then, now)), "", ""),
    ]


def _ratio(times: float | None, longest: float) -> tuple[str, str]:
    """The ratio and its bar, of which the longest has _BAR_CELLS cells."""
    if times is None:
        return "–", ""
    shown = figure(times) if times > _TINY else f"1/{figure(1 / times)}"
    return shown, _BAR * max(1, round(_BAR_CELLS * times / longest))


def _gate(one: Comparison) -> str:
    what = f"{one.reference.metric} lost {one.lost:.2f} points, allowed: at most {one.may_lose:g}"
    if not one.is_judged:
        return f"not judged, the weights are random: {what}"
    return f"{'PASS' if one.lost <= one.may_lose else 'FAIL'}  {what}"


def json_line(compared: Sequence[Comparison]) -> str:
    """{"compare": […], "passed": …}"""
    facts = [one.facts() for one in compared]
    return json.dumps({"compare": facts, "passed": all(one.passed for one in compared)})
