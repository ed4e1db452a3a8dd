"""The table of a tuning, while it runs and at its end."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from foundation.people_numbers import figure
from sut.commands.sweep.grid import Value, shown
from sut.commands.tune.trials import TrialRow
from sut.record.results import PeakResult

_CORES, _BATCH = ("instances", "cores_per_instance"), "max_batch_tokens"
_NAMED = ("backend", "precision", *_CORES, _BATCH)  # settings with a column of their own
_MOST_ROWS = 14
_MARK, _NO_MARK = "▶ ", "  "


@dataclass(frozen=True)
class Standing:
    """One candidate with its trials so far: the speed is the median of the longest ones."""

    settings: Mapping[str, Value]
    chosen: Mapping[str, Value]
    speed: float | None
    rung: int
    trials: int
    error: str | None

    @property
    def engine(self) -> tuple[Value, Value]:
        return self.settings["backend"], self.settings["precision"]


def standings(rows: Sequence[TrialRow]) -> list[Standing]:
    """All candidates, the fastest first."""
    by_settings: dict[tuple[tuple[str, Value], ...], list[TrialRow]] = {}
    for row in rows:
        if row.kind == "trial":
            by_settings.setdefault(tuple(row.settings.items()), []).append(row)
    found = [_standing(dict(settings), trials) for settings, trials in by_settings.items()]
    return sorted(found, key=lambda one: -(one.speed or 0.0))


def _standing(settings: Mapping[str, Value], trials: Sequence[TrialRow]) -> Standing:
    rung = max((row.rung for row in trials if row.speed is not None), default=0)
    speeds = [row.speed for row in trials if row.rung == rung and row.speed is not None]
    error = next((_why(row) for row in trials if row.speed is None), None)
    speed = statistics.median(speeds) if speeds else None
    return Standing(settings, {**settings, **trials[-1].chosen}, speed, rung, len(trials), error)


def _why(row: TrialRow) -> str:
    nothing = "no rate was valid" if isinstance(row.result, PeakResult) else row.verdict
    return row.error or "; ".join(row.reasons) or nothing


def value_of(speed: float, unit: str) -> float:
    """A speed in the scenario's unit."""
    return 1e3 / speed if unit == "ms" else speed


@dataclass(frozen=True)
class Columns:
    """The table as `foundation.tables` takes it."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: tuple[str, ...]


def columns(
    found: Sequence[Standing], unit: str, accuracy: Mapping[tuple[Value, Value], str], best: Standing | None = None
) -> Columns:
    """One row for each candidate.

    Args:
        accuracy: of the engines of which it was measured, as text.
        best: the winner, which is marked.
    """
    others = list(dict.fromkeys(name for one in found for name in one.settings if name not in _NAMED))
    numbers, rows = (unit, "of the\nbest"), []
    top = max((one.speed or 0.0 for one in ([best] if best else found)), default=0.0)
    for one in found[:_MOST_ROWS]:
        speed = ("–", "–") if one.speed is None else (figure(value_of(one.speed, unit)), f"{one.speed / top:.0%}")
        mark = "" if best is None else _MARK if one == best else _NO_MARK
        cells = [mark + " ".join(map(str, one.engine)), _cores(one.chosen), _tokens(one.chosen.get(_BATCH))]
        cells += [shown(one.settings[name]) if name in one.settings else "–" for name in others]
        rows.append((*cells, *speed, accuracy.get(one.engine, "").replace(" of ", " of\n")))
    named = ("engine", "instances\n× cores", "batch\ntokens", *others)
    return Columns((*named, *numbers, "accuracy"), tuple(rows), numbers)


def _cores(chosen: Mapping[str, Value]) -> str:
    return " × ".join(shown(chosen.get(name, "–")) for name in _CORES)


def _tokens(value: Value | None) -> str:
    return f"{value:,}" if isinstance(value, int) else "–"
