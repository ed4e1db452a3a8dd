"""The sections of a report on what was measured: latency, throughput, batches, instances, time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sut.record.run_record import RunRecord
from sut.reporting import charts, latency_charts, tables, time_charts
from sut.reporting.model import Cell, Row, Section, Table
from sut.reporting.values import FORMS, MISSING, cell, pointer, rows

_INSTANCES_SHOWN = 32


def _latency(labels: Sequence[str], contents: Sequence[Any], records: Sequence[RunRecord]) -> Section:
    """Offline has one query, so LoadGen's latency is the run's duration: its batches' times are shown instead."""
    is_offline = [record.config.scenario == "Offline" for record in records]
    queries = [{} if offline else content for offline, content in zip(is_offline, contents, strict=True)]
    return Section(
        name="latency",
        title="Latency",
        about="LoadGen's percentiles are of queries, from issue to last answer. Those of batches are the times of "
        "samples' batches in an instance, without the wait in a queue.",
        charts=tuple(latency_charts.latency(labels, records)),
        tables=(
            *tables.of("LoadGen: queries", labels, rows(queries, tables.LATENCY)),
            *tables.of("Batches in instances", labels, rows(contents, tables.IN_BATCHES), is_long=not all(is_offline)),
        ),
    )


def _time(labels: Sequence[str], contents: Sequence[Any], records: Sequence[RunRecord]) -> Section:
    return Section(
        name="throughput",
        title="Throughput and queue",
        charts=(*charts.over_time(labels, records), *charts.search(labels, records)),
        tables=tables.of("Counts and limits", labels, rows(contents, tables.SPEED)),
    )


def _batches(labels: Sequence[str], contents: Sequence[Any], records: Sequence[RunRecord]) -> Section:
    found = [*rows(contents, tables.BATCHES)]
    if any(record.progress and record.progress.computed_tokens for record in records):
        found.insert(4, Row("Padding", tuple(map(_padding, records))))
    return Section(
        name="batches",
        title="Batches and padding",
        charts=tuple(charts.batches(labels, records)),
        tables=tables.of("Batches", labels, found),
    )


def _padding(record: RunRecord) -> Cell:
    found = record.progress
    if found is None or not found.computed_tokens:
        return Cell(MISSING)
    share = 1 - found.tokens / found.computed_tokens
    return Cell(FORMS["share"](share), "", share)


def _instances(labels: Sequence[str], contents: Sequence[Any], records: Sequence[RunRecord]) -> Section:
    return Section(
        name="instances",
        title="Instances",
        about="Idle at the start: until an instance's first batch. Idle at the end: after its last answer.",
        charts=tuple(charts.instances(labels, records)),
        tables=tuple(
            _instance_table(label, number, contents[number], record)
            for number, (label, record) in enumerate(zip(labels, records, strict=True))
            if record.batches and record.batches.instances
        ),
    )


def _instance_table(label: str, number: int, content: Any, record: RunRecord) -> Table:
    assert record.batches is not None
    shown = record.batches.instances[:_INSTANCES_SHOWN]
    return Table(
        title=label if len(shown) == len(record.batches.instances) else f"{label}: the first {len(shown)}",
        headings=("batches", "samples", "throughput", "in batches", "idle at the start", "idle at the end"),
        rows=tuple(_instance_row(one, number, content, record) for one in range(len(shown))),
        is_long=len(shown) > 8,
    )


def _instance_row(one: int, number: int, content: Any, record: RunRecord) -> Row:
    batches = pointer("batches", "instances", one)
    begin = pointer("timeline", "instances", one, "first_batch_s")
    return Row(
        f"instance {one}",
        (
            cell(content, f"{batches}/batches", run=number),
            cell(content, f"{batches}/samples", run=number),
            cell(content, f"{batches}/samples_per_s", "rate", number),
            cell(content, f"{batches}/busy_s", "s", number),
            cell(content, begin, "s", number),
            _tail(record, one),
        ),
    )


def _tail(record: RunRecord, one: int) -> Cell:
    if record.timeline is None or record.batches is None:
        return Cell(MISSING)
    left_s = max(0.0, record.batches.window_s - record.timeline.instances[one].last_answer_s)
    return Cell(FORMS["s"](left_s), "", left_s)


def _parts(labels: Sequence[str], contents: Sequence[Any], records: Sequence[RunRecord]) -> Section:
    return Section(
        name="time",
        title="Time by part",
        charts=(*time_charts.of_instances(labels, records), *time_charts.of_samples(labels, records)),
        tables=tables.of("Seconds", labels, rows(contents, tables.TIME)),
    )


SECTIONS: tuple[Callable[[Sequence[str], Sequence[Any], Sequence[RunRecord]], Section], ...] = (
    _latency,
    _time,
    _batches,
    _instances,
    _parts,
)
