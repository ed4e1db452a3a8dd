"""The doctor's report as a table that fits 80 columns; colours mark what works, fails or is missing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from rich.table import Table

from foundation import terminal
from foundation.people_numbers import count, figure, megabytes
from sut.commands.doctor.probe import BackendProbe
from sut.commands.doctor.report import DoctorReport

_MOST_NAME = 18  # columns
_GOOD, _BAD, _ABSENT = "green", "bold red", "yellow"


class TableRow(NamedTuple):
    """A row of the table: name, text and rich's style; or a command, which keeps its line so that it can be copied."""

    name: str
    text: str
    style: str = ""
    is_command: bool = False


def show(report: DoctorReport) -> None:
    """Print the report as a table."""
    console, found = terminal.console(), list(rows(report))
    width = min(_MOST_NAME, max(len(row.name) for row in found))
    for row in found:
        if row.is_command:
            console.print(f"  type: {row.text}", soft_wrap=True)
            continue
        table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
        table.add_column(style="dim", width=width, overflow="fold")
        table.add_column(overflow="fold")
        table.add_row(row.name, row.text, style=row.style)
        console.print(table)


def rows(report: DoctorReport) -> Iterator[TableRow]:
    """The table's rows."""
    yield from _machine(report)
    yield TableRow("installed", report.installation)
    yield _loadgen(report)
    for probed in report.backends:
        yield _backend(probed)
        yield from (TableRow("", f"{name}: {why}") for name, why in probed.refused.items())
    fetched = "".join(f", {name}" for name in report.fetched)
    yield TableRow("assets", f"the demo's model, vocabulary and data set (part of the package){fetched}")
    yield _cache(report)
    for one in report.missing:
        yield TableRow(f"no {one.what.removeprefix('extra ')}", one.brings, _ABSENT)
        yield TableRow("", one.todo, is_command=True)
    yield TableRow("core", "works", _GOOD) if report.works else TableRow("core", "does NOT work", _BAD)


def _machine(report: DoctorReport) -> Iterator[TableRow]:
    machine = report.machine
    memory = f", {machine.memory_bytes / 2**30:.1f} GiB" if machine.memory_bytes else ""
    cores = count(machine.cores, "core")
    yield TableRow("machine", f"{machine.processor} ({machine.architecture}), {cores}{memory}")
    yield TableRow("system", f"{machine.operating_system}, Python {machine.python}")
    yield TableRow("packages", ", ".join(f"{name} {version}" for name, version in machine.packages.items()))


def _loadgen(report: DoctorReport) -> TableRow:
    loadgen = report.loadgen
    if loadgen.found:
        return TableRow("LoadGen", f"does not work: {loadgen.found}", _BAD)
    seeds = f"the seeds of round {loadgen.round}" if loadgen.round else "seeds of an unknown round; see --round"
    return TableRow("LoadGen", f"{loadgen.version}, with {seeds}", _GOOD)


def _backend(probed: BackendProbe) -> TableRow:
    if not probed.installed:
        return TableRow(probed.backend, "not installed", _ABSENT)
    if probed.no_device:
        return TableRow(probed.backend, probed.no_device, _ABSENT)
    if not probed.works:
        return TableRow(probed.backend, f"does not work: {probed.found}", _BAD)
    ran = ", ".join(f"{name} {figure(ms)} ms" for name, ms in probed.batch_ms.items())
    built = f"; {', '.join(probed.built)} once an engine is built" if probed.built else ""
    kernels = f"; kernels: {probed.kernels}" if probed.kernels else ""
    on = f" on {probed.devices}" if probed.devices else ""
    return TableRow(probed.backend, f"works{on}: {ran} for a batch of the demo{built}{kernels}", _GOOD)


def _cache(report: DoctorReport) -> TableRow:
    kinds = (f"{one.count:,} {one.what} ({megabytes(one.size_bytes)})" for one in report.cache if one.count)
    return TableRow("cache", f"{report.cache_dir}: {', '.join(kinds) or 'empty'}")
