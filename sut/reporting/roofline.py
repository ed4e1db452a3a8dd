"""The section on operations: how many the samples took, at which rate, and how far that is below the machine's limit.

The roofline is drawn only over a limit that was measured on the machine of the run: its rate at the model's matrix
products, and the rate at which it reads weights. Products alone are compared, since those are what the limit is of.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from foundation.people_numbers import figure
from sut.record import machine_limit
from sut.record.machine_limit import MachineLimit
from sut.record.run_record import RunRecord
from sut.reporting import tables
from sut.reporting.found_runs import FoundRun
from sut.reporting.model import Cell, Chart, Row, Section
from sut.reporting.traces import Trace, axis, lines, log_ticks, names
from sut.reporting.values import FORMS, MISSING, rows

_GIGA = 1e9
_MARGIN = 3.0  # factor between the outermost points and the ends of an axis


@dataclass(frozen=True, kw_only=True)
class Rates:
    """What a run reached. Rates are of products with weights, in 10⁹ multiplications and additions a second."""

    gops: float  # over the timed window
    engine_gops: float | None  # if all instances were always inside the engine; None: they overlap
    intensity: float | None  # operations for each byte of weights that a batch reads; None: bytes are not known


def of(record: RunRecord) -> Rates | None:
    """The rates of a run; None without operations or a timed window."""
    took, batches = record.operations, record.batches
    if took is None or batches is None or not batches.batches or batches.window_s <= 0:
        return None
    is_synchronous = batches.engine_s > 0 and not (record.topology and record.topology.gpus)
    read = batches.batches * (took.weight_bytes or 0)
    return Rates(
        gops=took.products / batches.window_s / _GIGA,
        engine_gops=took.products / batches.engine_s * len(batches.instances) / _GIGA if is_synchronous else None,
        intensity=took.products / read if read else None,
    )


def section(labels: Sequence[str], contents: Sequence[Any], runs: Sequence[FoundRun]) -> Section:
    """Operations, rates, limits, and the roofline."""
    found = [of(run.record) for run in runs]
    computed = (
        Row("Rate", tuple(_cell(one.gops if one else None, "GOP/s") for one in found)),
        Row("Rate inside the engine", tuple(_cell(one.engine_gops if one else None, "GOP/s") for one in found)),
        Row("Operations for a byte of weights", tuple(_cell(one.intensity if one else None) for one in found)),
        *(Row(title, tuple(_limit_cell(run.limit, name) for run in runs)) for title, name in _LIMITS),
        Row("Share of the limit", tuple(map(_share_cell, found, runs))),
    )
    known = [row for row in computed if any(cell.text != MISSING for cell in row.cells)]
    return Section(
        name="roofline",
        title="Roofline",
        about="Multiplications and additions of the engine for the samples' own tokens, without padding and without "
        "zeros that it skips. Rates and limits are of the products with weights.",
        charts=tuple(_charts(labels, found, runs)),
        tables=tables.of("Operations", labels, [*rows(contents, tables.OPERATIONS), *known]),
        notes=tuple(dict.fromkeys(_notes(found, runs))),
    )


_LIMITS = (("Limit: products", "gops"), ("Limit: reading weights", "read_gb_s"), ("Limit measured", "measured"))


def _cell(value: float | None, unit: str = "") -> Cell:
    return Cell(MISSING) if value is None else Cell(f"{figure(value)} {unit}".rstrip(), "", value)


def _limit_cell(limit: MachineLimit | None, name: str) -> Cell:
    if limit is None:
        return Cell(MISSING)
    if name == "measured":
        return Cell(f"{limit.measured.astimezone():%Y-%m-%d}", "", limit.measured.isoformat())
    return _cell(getattr(limit, name), "GOP/s" if name == "gops" else "GB/s")


def _share_cell(found: Rates | None, run: FoundRun) -> Cell:
    if found is None or run.limit is None:
        return Cell(MISSING)
    share = found.gops / run.limit.gops
    return Cell(FORMS["share"](share), "", share)


def _notes(found: Sequence[Rates | None], runs: Sequence[FoundRun]) -> Iterator[str]:
    """What to type for a limit that is not known, and what a rate above the limit means."""
    for one, run in zip(found, runs, strict=True):
        key = machine_limit.key(run.record)
        if one is None or key is None:
            continue
        where = "" if machine_limit.is_of_this_machine(key) else f" on the machine of the run ({key.processor})"
        again = f"python -m sut report {shlex.quote(str(run.directory))} --measure-limit{where}"
        if run.limit is None:
            yield f"The limit for {key.products} was not measured. Type: {again}"
        elif one.gops > run.limit.gops:
            yield (
                f"A rate is above the limit for {key.products}, which was measured on a busier machine. To measure it "
                f"again, type: {again}"
            )


def _roof(number: int, limit: MachineLimit, ends: tuple[float, float]) -> Trace:
    """Reading weights up to the knee, computing beyond it."""
    low, high = ends
    x = [low, limit.gops / limit.read_gb_s, high]
    y = [limit.read_gb_s * low, limit.gops, limit.gops]
    return lines(f"limit for {limit.precision}", number, x, y, line={"dash": "dash"})


def _charts(labels: Sequence[str], found: Sequence[Rates | None], runs: Sequence[FoundRun]) -> Iterator[Chart]:
    known = [
        (label, number, one, one.intensity, run.limit)
        for number, (label, one, run) in enumerate(zip(names(labels), found, runs, strict=True))
        if one and one.intensity and run.limit
    ]
    if not known:
        return
    knees = [limit.gops / limit.read_gb_s for *_, limit in known]
    across = [*knees, *(intensity for *_, intensity, _ in known)]
    ends = min(across) / _MARGIN, max(across) * _MARGIN
    traces = [
        _roof(number, limit, ends)
        for place, (_, number, _, _, limit) in enumerate(known)
        if limit not in [earlier for *_, earlier in known[:place]]
    ]
    for label, number, one, intensity, _ in known:
        points = lines(label, number, [intensity], [one.gops], mode="markers")
        traces.append({**points, "marker": {"size": 11, "symbol": "circle"}})
        if one.engine_gops:
            inside = lines(f"{label}, inside the engine", number, [intensity], [one.engine_gops], mode="markers")
            traces.append({**inside, "marker": {"size": 11, "symbol": "circle-open"}, "showlegend": False})
    yield Chart(
        title="Rate and limit",
        about="Rate by operations for each byte of weights, if a batch reads them once; dashed: what the machine was "
        "measured to compute and to read; filled: over the timed window; open: inside the engine",
        traces=traces,
        layout={
            "xaxis": axis("operations for a byte of weights", type="log", **log_ticks()),
            "yaxis": axis("GOP/s", type="log", **log_ticks()),
        },
        is_wide=True,
    )
