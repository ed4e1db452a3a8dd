"""The doctor's report for a person: one table, 80 columns are enough; colour says what needs no reading."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from sut.commands.doctor.probe import Trial
from sut.commands.doctor.report import Report

_GOOD, _BAD, _ABSENT = "green", "bold red", "yellow"


class Row(NamedTuple):
    name: str
    words: str
    style: str = ""


def show(report: Report) -> None:
    """Print it."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for row in rows(report):
        table.add_row(row.name, row.words, style=row.style)
    Console(highlight=False, markup=False).print(table)


def rows(report: Report) -> Iterator[Row]:
    """The table's rows."""
    yield from _machine(report)
    yield _loadgen(report)
    for trial in report.backends:
        yield _backend(trial)
        yield from (Row("", f"{name}: {why}") for name, why in trial.refused.items())
    fetched = "".join(f", {name}" for name in report.fetched)
    yield Row("assets", f"the demo's model, vocabulary and data set, which come with the package{fetched}")
    yield _cache(report)
    for one in report.missing:
        yield Row(f"no {one.what.removeprefix('extra ')}", one.brings, _ABSENT)
        yield Row("", f"type: {one.todo}")
    yield Row("core", "works", _GOOD) if report.works else Row("core", "does NOT work", _BAD)


def _machine(report: Report) -> Iterator[Row]:
    machine = report.machine
    memory = f", {machine.memory_bytes / 2**30:.1f} GiB" if machine.memory_bytes else ""
    cores = f"{machine.cores} core{'s' * (machine.cores != 1)}"
    yield Row("machine", f"{machine.processor} ({machine.architecture}), {cores}{memory}")
    yield Row("system", f"{machine.operating_system}, Python {machine.python}")
    yield Row("packages", ", ".join(f"{name} {version}" for name, version in machine.packages.items()))


def _loadgen(report: Report) -> Row:
    loadgen = report.loadgen
    if loadgen.found:
        return Row("LoadGen", f"does not work: {loadgen.found}", _BAD)
    seeds = f"the seeds of round {loadgen.round}" if loadgen.round else "seeds of no round known here; see --round"
    return Row("LoadGen", f"{loadgen.version}, with {seeds}", _GOOD)


def _backend(trial: Trial) -> Row:
    if not trial.installed:
        return Row(trial.backend, "not installed", _ABSENT)
    if trial.no_device:
        return Row(trial.backend, trial.no_device, _ABSENT)
    if not trial.works:
        return Row(trial.backend, f"does not work: {trial.found}", _BAD)
    ran = ", ".join(f"{name} {ms:.3g} ms" for name, ms in trial.batch_ms.items())
    built = f"; {', '.join(trial.built)} once an engine is built" if trial.built else ""
    kernels = f"; kernels: {trial.kernels}" if trial.kernels else ""
    on = f" on {trial.devices}" if trial.devices else ""
    return Row(trial.backend, f"works{on}: {ran} for a batch of the demo{built}{kernels}", _GOOD)


def _cache(report: Report) -> Row:
    kinds = (f"{one.count} {one.what} ({one.size_bytes / 1e6:.1f} MB)" for one in report.cache if one.count)
    return Row("cache", f"{report.cache_dir}: {', '.join(kinds) or 'empty'}")
