"""Puts runs into a report: cards, then one section for each question that people ask about a run.

Tables are rows of (label, JSON pointer, form); a row that no run has is dropped, so every kind of run, and runs of
earlier versions, go through the same tables.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from foundation.typed_json import encode
from sut.record import run_record
from sut.record.run_record import RunRecord
from sut.reporting import described, differences, headline, measured, roofline, tables
from sut.reporting.found_runs import FoundRun
from sut.reporting.model import Card, Cell, Report, Row, Section, Table, Tone
from sut.reporting.values import FORMS, MISSING, cell, rows

_TONES: dict[str, Tone] = {
    **dict.fromkeys(("VALID", "PASS", "PEAK"), "good"),
    **dict.fromkeys(("INVALID", "FAIL", "FAILED", "INCOMPLETE", "unfinished"), "bad"),
}
_DIED = "it was killed, or is still running: what is shown here was known before the test"
_FORMS = {"samples/s": "rate", "ms": "ms", "%": "percent", "queries/s": "plain"}
Runs = Sequence[FoundRun]


def of(runs: Runs, everything: Runs = ()) -> Report:
    """The report on `runs`, side by side.

    Args:
        everything: if these are a selection, all runs, which get a list.
    """
    labels = labels_of(runs)
    contents = tuple(encode(run.record) for run in runs)
    records = [run.record for run in runs]
    sections = [
        *(one(labels, contents, records) for one in measured.SECTIONS),
        roofline.section(labels, contents, runs),
        described.accuracy(labels, contents, runs),
        described.machine(labels, contents),
        described.settings(labels, contents),
    ]
    if len(runs) > 1:
        sections.append(_differences(labels, contents, records))
    if everything:
        sections.insert(0, _all_runs(everything))
    shown = tuple(one for one in sections if one.charts or one.tables or one.notes or one.examples)
    title = labels[0] if len(runs) == 1 else f"{len(runs)} {f'of {len(everything)} ' if everything else ''}runs"
    return Report(
        title=title, cards=tuple(map(_card, range(len(runs)), labels, runs)), sections=shown, records=contents
    )


def labels_of(runs: Runs) -> list[str]:
    """Short names that differ: the directories without what all have in common."""
    paths = [os.path.realpath(run.directory) for run in runs]
    above = str(Path(paths[0]).parent) if len(set(paths)) == 1 else os.path.commonpath(paths)
    return [os.path.relpath(path, above) for path in paths]


def _card(number: int, label: str, run: FoundRun) -> Card:
    record, content = run.record, encode(run.record)
    found = headline.of(record)
    config = record.config
    hidden = {"/result/latency_ms/99.00"} if config.scenario == "Offline" else set()
    hidden |= {"/batches/samples_per_s"} if found and found.unit == "samples/s" else set()
    facts = rows([content], [one for one in tables.FACTS if one[1] not in hidden])
    return Card(
        name=label,
        what=f"{config.scenario} {config.mode}: {config.task}, {config.model} on {config.backend} "
        f"{record.effective_precision}",
        when=time.strftime("%Y-%m-%d %H:%M", time.localtime(run.when_unix_s)),
        verdict=record.verdict,
        tone=_TONES.get(record.verdict, "plain"),
        figure=cell(content, found.path, _FORMS.get(found.unit, "plain"), number) if found else None,
        label=f"{found.label} {found.over}".rstrip() if found else "no result",
        unit="" if found is None or found.unit in ("samples/s", "ms", "%") else found.unit,
        facts=tuple(Row(one.label, tuple(Cell(c.text, c.path, c.value, number) for c in one.cells)) for one in facts),
        reasons=(*((_DIED,) if record.verdict == "unfinished" else ()), *record.reasons),
        warnings=record.warnings or (),
        notices=tuple(dict.fromkeys([*record.notices, *(["random weights"] if record.random_weights else [])])),
        directory=str(run.directory),
    )


def _differences(labels: Sequence[str], contents: Sequence[Any], records: Sequence[RunRecord]) -> Section:
    """Every value that is not the same in all runs, by section of run.json."""
    flat = [run_record.flat(record) for record in records]
    names = differences.that_differ(records)
    found = [Row(name, tuple(_flat_cell(one, name, number) for number, one in enumerate(flat))) for name in names]
    versions = [one for one in found if one.label.startswith("distributions.")]
    return Section(
        name="differences",
        title="Differences",
        about="Values of run.json that are not the same in all runs, without results.",
        tables=(
            *tables.of("Settings, machine, files", labels, [one for one in found if one not in versions]),
            *tables.of("Installed distributions", labels, versions, is_long=True),
        ),
        notes=() if found else ("no differences in settings, machine, versions and files",),
    )


def _flat_cell(flat: Mapping[str, object], name: str, run: int) -> Cell:
    value = flat.get(name)
    return Cell(MISSING) if value is None else Cell(FORMS["plain"](value), "", value, run)


def _all_runs(runs: Runs) -> Section:
    headings = ("verdict", "result", "scenario", "backend", "marks")
    return Section(
        name="runs",
        title="All runs",
        about="The cards and the other sections are of some of these: the fastest valid run of each scenario and "
        "mode, then of each configuration.",
        tables=(
            Table(
                title="Runs",
                headings=headings,
                rows=tuple(_run_row(label, run) for label, run in zip(labels_of(runs), runs, strict=True)),
            ),
        ),
    )


def _run_row(label: str, run: FoundRun) -> Row:
    record, config, found = run.record, run.record.config, headline.of(run.record)
    result = MISSING if found is None else FORMS[_FORMS.get(found.unit, "plain")](found.value)
    texts = (
        record.verdict,
        result,
        f"{config.scenario} {config.mode}",
        f"{config.backend} {record.effective_precision}",
        ", ".join(headline.marks(record)) or MISSING,
    )
    return Row(label, tuple(map(Cell, texts)))
