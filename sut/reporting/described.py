"""The sections of a report on the answers, and on what ran: model, machine, settings, files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sut.reporting import answers, charts, tables
from sut.reporting.found_runs import FoundRun
from sut.reporting.model import Cell, Row, Section, Table
from sut.reporting.values import MISSING, look_up, pointer, rows
from sut.settings.settings import SETTINGS


def accuracy(labels: Sequence[str], contents: Sequence[Any], runs: Sequence[FoundRun]) -> Section:
    """Metrics with their interval, errors by kind and length, and answers that are not right."""
    found = [answers.read(run.directory, run.record) for run in runs]
    every = [one.questions for one in found]
    known = [question for questions in every for question in questions]
    width = answers.length_width(known)
    groups = (
        ("kind of question", [answers.by_kind(one) for one in every]),
        ("length, words", [answers.by_length(one, width) for one in every]),
    )
    results = [content if run.record.accuracy else {} for content, run in zip(contents, runs, strict=True)]
    return Section(
        name="accuracy",
        title="Accuracy",
        charts=tuple(charts.errors(labels, group, f"Errors by {what}") for what, group in groups) if known else (),
        tables=(*tables.of("Scores", labels, rows(results, tables.ACCURACY)), *_group_tables(labels, groups)),
        examples={label: worst for label, one in zip(labels, every, strict=True) if (worst := answers.examples(one))},
        notes=tuple(one.note for one in found if one.note),
    )


def _group_tables(labels: Sequence[str], groups: Sequence[tuple[str, Sequence[answers.Groups]]]) -> tuple[Table, ...]:
    return tuple(
        table
        for what, of_runs in groups
        for table in tables.of(
            f"Score by {what}",
            labels,
            [
                Row(name, tuple(_score(one.get(name)) for one in of_runs))
                for name in dict.fromkeys(name for one in of_runs for name in one)
            ],
        )
    )


def _score(found: tuple[int, float] | None) -> Cell:
    return Cell(MISSING) if found is None else Cell(f"{100 * found[1]:.2f} % of {found[0]:,}", "", found[1])


def machine(labels: Sequence[str], contents: Sequence[Any]) -> Section:
    """The model, the machine, the versions."""
    packages = dict.fromkeys(name for one in contents for name in look_up(one, "/machine/packages") or ())
    versions = [(name, pointer("machine", "packages", name), "plain") for name in packages]
    return Section(
        name="machine",
        title="Model, machine, versions",
        tables=(
            *tables.of("Model", labels, rows(contents, tables.MODEL)),
            *tables.of("Machine", labels, rows(contents, tables.MACHINE)),
            *tables.of("Versions", labels, rows(contents, versions), is_long=True),
        ),
    )


def settings(labels: Sequence[str], contents: Sequence[Any]) -> Section:
    """What was given, what it was resolved to, and the files that were read."""
    given = dict.fromkeys(name for one in contents for name in look_up(one, "/given") or ())
    typed = [(name, pointer("given", name), "plain") for name in given]
    resolved = [(name, pointer("config", name), "plain") for name in SETTINGS]
    sums = dict.fromkeys(name for one in contents for name in look_up(one, "/checksums") or ())
    return Section(
        name="settings",
        title="Settings and files",
        tables=(
            *tables.of("Given", labels, rows(contents, typed)),
            *tables.of("All, with choices resolved", labels, rows(contents, resolved), is_long=True),
            *tables.of(
                "Files by sha256",
                labels,
                rows(contents, [(n, pointer("checksums", n), "plain") for n in sums]),
                is_long=True,
            ),
        ),
    )
