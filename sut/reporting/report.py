"""Puts runs into a report: cards, then one section for each question that people ask about a run.

Tables are rows of (label, JSON pointer, form); a row that no run has is dropped, so every kind of run, and runs of
earlier versions, go through the same tables.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from foundation.typed_json import encode
from sut.record import run_record
from sut.record.run_record import RunRecord
from sut.reporting import answers, charts, differences, headline
from sut.reporting.found_runs import FoundRun
from sut.reporting.model import Card, Cell, Report, Row, Section, Table, Tone
from sut.reporting.values import FORMS, MISSING, cell, look_up, pointer, rows
from sut.settings.settings import SETTINGS

_TONES: dict[str, Tone] = {
    **dict.fromkeys(("VALID", "PASS", "PEAK"), "good"),
    **dict.fromkeys(("INVALID", "FAIL", "FAILED", "INCOMPLETE", "unfinished"), "bad"),
}
_DIED = "it was killed, or is still running: what is shown here was known before the test"
_FORMS = {"samples/s": "rate", "ms": "ms", "%": "percent", "queries/s": "plain"}
_FACTS = (
    ("Throughput", "/batches/samples_per_s", "rate"),
    ("99th percentile", "/result/latency_ms/99.00", "ms"),
    ("Target latency", "/plan/target_latency_s", "s as ms"),
    ("95 % interval", "/accuracy_interval", "interval"),
    ("Exact match", "/result/exact_match", "percent"),
    ("Answered samples", "/result/samples_answered", "plain"),
    ("Target", "/result/target/value", "plain"),
    ("Timed window", "/batches/window_s", "s"),
    ("Instances", "/config/instances", "plain"),
    ("Threads each", "/config/threads", "plain"),
)
_LATENCY = (
    ("Least", "/result/latency_range_ms/min", "ms"),
    ("Mean", "/result/latency_range_ms/mean", "ms"),
    *((f"p{float(p):g}", f"/result/latency_ms/{p}", "ms") for p in ("50.00", "90.00", "95.00", "97.00")),
    ("p99", "/result/latency_ms/99.00", "ms"),
    ("p99.9", "/result/latency_ms/99.90", "ms"),
    ("Most", "/result/latency_range_ms/max", "ms"),
    ("Target latency", "/plan/target_latency_s", "s as ms"),
)
_IN_BATCHES = tuple(
    (label, f"/batches/{kind}_latency_ms/{key}", "ms")
    for kind, prefix in (("batch", ""), ("engine", "Engine: "))
    for key, label in ((name, f"{prefix}{name}") for name in ("min", "mean", "p50", "p90", "p99", "p99.9", "max"))
)
_SPEED = (
    ("Samples issued", "/progress/issued", "plain"),
    ("Samples answered", "/progress/completed", "plain"),
    ("Timed window", "/batches/window_s", "s"),
    ("Samples a second", "/batches/samples_per_s", "rate"),
    ("target_qps", "/plan/target_qps", "plain"),
    ("Queries at least", "/plan/min_query_count", "plain"),
    ("Samples per query", "/plan/samples_per_query", "plain"),
    ("Seconds at least", "/plan/min_duration_s", "s"),
)
_BATCHES = (
    ("Batches", "/batches/batches", "plain"),
    ("Samples", "/batches/samples", "plain"),
    ("Tokens", "/progress/tokens", "plain"),
    ("Computed tokens", "/progress/computed_tokens", "plain"),
    ("Mean tokens of a sample", "/sample_tokens/mean", "plain"),
    ("Longest sample, tokens", "/sample_tokens/longest", "plain"),
    ("Tokens of a batch at most", "/config/max_batch_tokens", "plain"),
)
_TIME = (
    ("Timed window", "/batches/window_s", "s"),
    ("In batches, all instances", "/batches/busy_s", "s"),
    ("Of that, inside the engine", "/batches/engine_s", "s"),
)
_ACCURACY = (
    ("Exact match", "/result/exact_match", "percent"),
    ("F1", "/result/f1", "percent"),
    ("Accuracy", "/result/accuracy", "percent"),
    ("Over what was answered", "/result/of_answered", "percent"),
    ("95 % interval of it", "/accuracy_interval", "interval"),
    ("Samples answered", "/result/samples_answered", "plain"),
    ("Samples of the data set", "/result/total_sample_count", "plain"),
    ("Target", "/result/target/name", "plain"),
    ("Its value", "/result/target/value", "plain"),
)
_MODEL = (
    ("Model", "/config/model", "plain"),
    ("Backend", "/config/backend", "plain"),
    ("Precision", "/precision", "plain"),
    ("Weights in the files", "/weight_types", "plain"),
    ("Zero weights", "/zero_weights_share", "share"),
    ("Random weights", "/random_weights", "plain"),
    ("Engine", "/engine/key", "plain"),
    ("Server", "/server/name", "plain"),
)
_MACHINE = (
    ("Processor", "/machine/processor", "plain"),
    ("Architecture", "/machine/architecture", "plain"),
    ("Cores", "/machine/cores", "plain"),
    ("Memory", "/machine/memory_bytes", "bytes"),
    ("GPUs", "/topology/gpus", "plain"),
    ("Pinned", "/topology/pinned", "plain"),
    ("Weights shared", "/topology/weights_shared", "plain"),
    ("Operating system", "/machine/operating_system", "plain"),
    ("Python", "/machine/python", "plain"),
    ("Commit", "/machine/commit", "plain"),
)
_INSTANCES_SHOWN = 32
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
        *(one(labels, contents, records) for one in _SECTIONS),
        _accuracy(labels, contents, runs),
        _machine(labels, contents),
        _settings(labels, contents),
    ]
    if len(runs) > 1:
        sections.append(_differences(labels, contents, records))
    if everything:
        sections.insert(0, _all_runs(everything))
    shown = tuple(one for one in sections if one.charts or one.tables or one.notes or one.examples)
    title = labels[0] if len(runs) == 1 else f"{len(runs)} runs"
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
    facts = rows([content], [one for one in _FACTS if one[1] not in hidden])
    return Card(
        name=label,
        what=f"{config.scenario} {config.mode}: {config.task}, {config.model} on {config.backend} "
        f"{record.effective_precision}",
        when=time.strftime("%Y-%m-%d %H:%M", time.localtime(run.when_unix_s)),
        verdict=record.verdict,
        tone=_TONES.get(record.verdict, "plain"),
        figure=cell(content, found.path, _FORMS.get(found.unit, "plain"), number) if found else None,
        label=found.label if found else "no result",
        unit="" if found is None or found.unit in ("samples/s", "ms", "%") else found.unit,
        facts=tuple(Row(one.label, tuple(Cell(c.text, c.path, c.value, number) for c in one.cells)) for one in facts),
        reasons=(*((_DIED,) if record.verdict == "unfinished" else ()), *record.reasons),
        notices=tuple(dict.fromkeys([*record.notices, *(["random weights"] if record.random_weights else [])])),
        directory=str(run.directory),
    )


def _table(title: str, labels: Sequence[str], found: Sequence[Row], *, is_long: bool = False) -> tuple[Table, ...]:
    """A table of the runs that have one of these values; none if no run has."""
    known = [number for number in range(len(labels)) if any(row.cells[number].text != MISSING for row in found)]
    shown = tuple(Row(row.label, tuple(row.cells[number] for number in known)) for row in found)
    headings = tuple(labels[number] for number in known)
    return (Table(title=title, headings=headings, rows=shown, is_long=is_long),) if known else ()


def _latency(labels: Sequence[str], contents: Sequence[Any], records: Sequence[RunRecord]) -> Section:
    """Offline has one query, so LoadGen's latency is the run's duration: its batches' times are shown instead."""
    is_offline = [record.config.scenario == "Offline" for record in records]
    queries = [{} if offline else content for offline, content in zip(is_offline, contents, strict=True)]
    return Section(
        name="latency",
        title="Latency",
        about="LoadGen's percentiles are of queries, from issue to last answer. Those of batches are the times of "
        "samples' batches in an instance, without the wait in a queue.",
        charts=tuple(charts.latency(labels, records)),
        tables=(
            *_table("LoadGen: queries", labels, rows(queries, _LATENCY)),
            *_table("Batches in instances", labels, rows(contents, _IN_BATCHES), is_long=not all(is_offline)),
        ),
    )


def _time(labels: Sequence[str], contents: Sequence[Any], records: Sequence[RunRecord]) -> Section:
    return Section(
        name="throughput",
        title="Throughput and queue",
        charts=(*charts.over_time(labels, records), *charts.search(labels, records)),
        tables=_table("Counts and limits", labels, rows(contents, _SPEED)),
    )


def _batches(labels: Sequence[str], contents: Sequence[Any], records: Sequence[RunRecord]) -> Section:
    found = [*rows(contents, _BATCHES)]
    if any(record.progress and record.progress.computed_tokens for record in records):
        found.insert(4, Row("Padding", tuple(map(_padding, records))))
    return Section(
        name="batches",
        title="Batches and padding",
        charts=tuple(charts.batches(labels, records)),
        tables=_table("Batches", labels, found),
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
        charts=tuple(charts.parts(labels, records)),
        tables=_table("Seconds", labels, rows(contents, _TIME)),
    )


_SECTIONS: tuple[Callable[[Sequence[str], Sequence[Any], Sequence[RunRecord]], Section], ...] = (
    _latency,
    _time,
    _batches,
    _instances,
    _parts,
)


def _accuracy(labels: Sequence[str], contents: Sequence[Any], runs: Runs) -> Section:
    found = [answers.read(run.directory, run.record) for run in runs]
    every = [one.questions for one in found]
    known = [question for questions in every for question in questions]
    width = answers.length_width(known)
    groups = (
        ("Score by kind of question", [answers.by_kind(one) for one in every]),
        ("Score by length, words", [answers.by_length(one, width) for one in every]),
    )
    results = [content if run.record.accuracy else {} for content, run in zip(contents, runs, strict=True)]
    return Section(
        name="accuracy",
        title="Accuracy",
        charts=tuple(charts.scores(labels, group, title) for title, group in groups) if known else (),
        tables=(*_table("Scores", labels, rows(results, _ACCURACY)), *_group_tables(labels, groups)),
        examples={label: worst for label, one in zip(labels, every, strict=True) if (worst := answers.examples(one))},
        notes=tuple(one.note for one in found if one.note),
    )


def _group_tables(labels: Sequence[str], groups: Sequence[tuple[str, Sequence[answers.Groups]]]) -> tuple[Table, ...]:
    return tuple(
        table
        for title, of_runs in groups
        for table in _table(
            title,
            labels,
            [
                Row(name, tuple(_score(one.get(name)) for one in of_runs))
                for name in dict.fromkeys(name for one in of_runs for name in one)
            ],
        )
    )


def _score(found: tuple[int, float] | None) -> Cell:
    return Cell(MISSING) if found is None else Cell(f"{100 * found[1]:.2f} % of {found[0]:,}", "", found[1])


def _machine(labels: Sequence[str], contents: Sequence[Any]) -> Section:
    packages = dict.fromkeys(name for one in contents for name in look_up(one, "/machine/packages") or ())
    versions = [(name, pointer("machine", "packages", name), "plain") for name in packages]
    return Section(
        name="machine",
        title="Model, machine, versions",
        tables=(
            *_table("Model", labels, rows(contents, _MODEL)),
            *_table("Machine", labels, rows(contents, _MACHINE)),
            *_table("Versions", labels, rows(contents, versions), is_long=True),
        ),
    )


def _settings(labels: Sequence[str], contents: Sequence[Any]) -> Section:
    given = dict.fromkeys(name for one in contents for name in look_up(one, "/given") or ())
    typed = [(name, pointer("given", name), "plain") for name in given]
    resolved = [(name, pointer("config", name), "plain") for name in SETTINGS]
    sums = dict.fromkeys(name for one in contents for name in look_up(one, "/checksums") or ())
    return Section(
        name="settings",
        title="Settings and files",
        tables=(
            *_table("Given", labels, rows(contents, typed)),
            *_table("All, with choices resolved", labels, rows(contents, resolved), is_long=True),
            *_table(
                "Files by sha256",
                labels,
                rows(contents, [(n, pointer("checksums", n), "plain") for n in sums]),
                is_long=True,
            ),
        ),
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
            *_table("Settings, machine, files", labels, [one for one in found if one not in versions]),
            *_table("Installed distributions", labels, versions, is_long=True),
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
        about="The cards and sections below are of some of these runs, the fastest valid ones.",
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
