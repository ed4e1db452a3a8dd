"""`compare --speed`: the speed of several models, each related to the first, next to what was published of them.

A row is read from the records of two runs alone, Offline and SingleStream, so `benchmarks.open_division` has the same.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from foundation import tables, terminal
from foundation.people_numbers import figure
from foundation.typed_json import encode
from sut.commands.compare import runs
from sut.commands.compare.published import Rung
from sut.record.run_record import RunRecord
from sut.settings.settings import RunConfig

COLUMNS = ("model", "samples/s", "times", "ms", "MFLOP a sample", "published F1", "its source")
NUMBERS = COLUMNS[1:6]
NOTES = (
    "samples/s: Offline; times: those of the first model; ms: SingleStream's mean; all under LoadGen. MFLOP: products "
    "and attention as the engine computes them, without zeros that it skips. The F1 is that of the submission, not of "
    "these weights."
)
RANDOM_NOTE = "* random weights of its sizes: for speed alone, the answers mean nothing"


@dataclass(frozen=True, kw_only=True)
class LadderRow:
    """A rung's figures here."""

    rung: Rung
    samples_per_s: float
    latency_ms: float  # SingleStream's mean
    mflop_per_sample: float | None  # None: of a graph that runs as it is
    what: str  # backend and precision
    remarks: tuple[str, ...]  # of the engine, such as how many of its products are sparse
    invalid: tuple[str, ...] = ()


def row(rung: Rung, latency: RunRecord, throughput: RunRecord) -> LadderRow:
    """The row of a SingleStream and an Offline run."""
    streamed, measured = latency.performance, throughput.performance
    assert streamed and measured
    remarks = [one.remark for one in throughput.instances_ready or () if one.remark]
    return LadderRow(
        rung=rung,
        samples_per_s=measured.value or 0.0,
        latency_ms=streamed.latency_range_ms["mean"],
        mflop_per_sample=_mflop(throughput),
        what=f"{throughput.config.backend} {throughput.effective_precision}",
        remarks=tuple(dict.fromkeys(remarks)),
        invalid=(*runs.invalid("latency", latency), *runs.invalid("throughput", throughput)),
    )


def _mflop(record: RunRecord) -> float | None:
    if record.operations is None or record.progress is None:
        return None
    return (record.operations.products + record.operations.attention) / record.progress.completed / 1e6


def measure(rungs: Sequence[tuple[Rung, RunConfig]], folder: Path, lock: int) -> list[LadderRow]:
    """Make the two runs of each rung, with logs below `folder`.

    Raises:
        RowStoppedError, RunFailedError: a run ended with an error.
    """
    found = []
    for number, (one, config) in enumerate(rungs, 1):
        print(f"{number}/{len(rungs)} {one.name}: {config.model}", file=sys.stderr, flush=True)
        below = folder / f"{number}-{''.join(mark if mark.isalnum() else '-' for mark in one.name)}"
        planned = runs.planned(config, None)
        latency, throughput = (runs.run(kind, planned[kind], below, lock, runs.SPEED) for kind in runs.SPEED)
        found.append(row(one, latency, throughput))
    return found


def cells(found: LadderRow, first: LadderRow) -> tuple[str, ...]:
    """A line of the table, under COLUMNS."""
    rung = found.rung
    return (
        f"{rung.title}{'*' if rung.is_random else ''}",
        figure(found.samples_per_s),
        figure(found.samples_per_s / first.samples_per_s) if first.samples_per_s else "–",
        figure(found.latency_ms),
        "–" if found.mflop_per_sample is None else f"{found.mflop_per_sample:,.0f}",
        "–" if rung.f1 is None else f"{rung.f1:.2f}",
        rung.source or "–",
    )


def notes(found: Sequence[LadderRow]) -> list[str]:
    """What must stand below the table."""
    marked = [RANDOM_NOTE] if any(one.rung.is_random for one in found) else []
    engines = [f"{one.rung.name}: {', '.join(one.remarks)}" for one in found if one.remarks]
    return [*marked, *engines, *(f"INVALID, {one.rung.name} {why}" for one in found for why in one.invalid)]


def show(found: Sequence[LadderRow]) -> None:
    """Print the table and its notes."""
    console = terminal.console()
    console.print(", ".join(dict.fromkeys(one.what for one in found)))
    tables.show(COLUMNS, [cells(one, found[0]) for one in found], NUMBERS)
    for line in (NOTES, *notes(found)):
        console.print(line, soft_wrap=True)


def json_line(found: Sequence[LadderRow]) -> str:
    """{"speed": […]}"""
    return json.dumps({"speed": [encode(one) for one in found]})
