"""What a tuning leaves: best.toml, the record of this machine, and the lines that say what was found."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from foundation import atomic_write
from foundation.people_numbers import count, figure, plain
from foundation.rules import SCENARIOS
from sut.commands.sweep.grid import Value
from sut.commands.tune import accuracy, table
from sut.commands.tune.request import Request
from sut.commands.tune.table import Standing
from sut.commands.tune.trials import TrialRow
from sut.fetch import resolve as asset_paths
from sut.machine import limits
from sut.record import machine_limit, run_record, tuned
from sut.record.results import AccuracyResult
from sut.record.run_record import RunRecord
from sut.record.tuned import TunedRecord
from sut.settings.resolve import given
from sut.settings.settings import RunConfig

NAME = "best.toml"
_ENOUGH_MINUTES = 5
_SPELT_OUT = ("instances", "cores_per_instance", "max_batch_tokens")


@dataclass(frozen=True, kw_only=True)
class Best:
    """The winner: its settings, its standing among the others, and its longest run."""

    config: RunConfig  # without the length of a trial
    standing: Standing
    record: RunRecord
    unit: str
    share: float | None  # of the machine's peak at the model's products
    peak_gops: float | None
    accuracy: TrialRow | None  # of its engine
    goal: float | None  # the least accuracy in percent

    @property
    def value(self) -> float:
        assert self.standing.speed is not None
        return table.value_of(self.standing.speed, self.unit)


def record_of(rows: list[TrialRow], standing: Standing, folder: Path) -> RunRecord:
    """The run of the winner that is nearest to its median."""
    runs = [row for row in rows if row.kind == "trial" and row.settings == standing.settings and row.speed is not None]
    nearest = min(runs, key=lambda row: (-row.rung, abs((row.speed or 0.0) - (standing.speed or 0.0))))
    return run_record.read(folder / nearest.log_dir)


def share_of_peak(
    config: RunConfig, record: RunRecord, speed: float, *, measures: bool = True
) -> tuple[float, float] | None:
    """(share, peak in GOP/s): the matrix products that the run computed, by what this machine computes at most.

    None on a GPU, without PyTorch, or for a model of unknown geometry. To measure the peak takes some ten seconds; else
    it is the one that was measured before, or None.

    Raises:
        RunFailedError: the peak cannot be kept in the cache.
    """
    key, geometry, took, progress = machine_limit.key(record), record.geometry, record.operations, record.progress
    if key is None or geometry is None or record.sample_tokens is None or not (took and progress and progress.tokens):
        return None
    cache_dir = asset_paths.cache_dir(config)
    limit = machine_limit.measure(key, geometry, cache_dir) if measures else machine_limit.read(key, cache_dir)
    if limit is None:
        return None
    samples_per_s = speed * SCENARIOS[config.scenario].samples_per_query
    gops = samples_per_s * record.sample_tokens.mean * took.products / progress.tokens / 1e9
    return gops / limit.gops, limit.gops


def nothing(request: Request, *, was_short: bool) -> str:
    """One line for a tuning without a winner; where time was short, with the command that goes on."""
    if not was_short:
        return f"none of these can be used. Logs: {request.folder}"
    minutes = plain(max(_ENOUGH_MINUTES, 4 * request.minutes))
    again = f"--resume --minutes {minutes} --output-dir {shlex.quote(str(_near(request.folder.absolute())))}"
    return (
        f"expected an engine that runs and is scored in {plain(request.minutes)} minutes, found none. "
        f"Type the same command with {again}"
    )


def write(best: Best, folder: Path) -> Path:
    """Write best.toml and the record of this machine; returns the path of best.toml."""
    path = (folder / NAME).absolute()
    with limits.named(f"write the best settings to {path}"):
        atomic_write.write_text(path, toml(best))
        cache_dir = asset_paths.cache_dir(best.config)
        tuned.write(tuned.path(best.record, cache_dir), _tuned(best, path))
    return path


def toml(best: Best) -> str:
    """The winner's settings as TOML, with what was measured as comments."""
    machine = best.record.machine
    where = f"{machine.cores} cores of {machine.processor}" if machine else "an unknown machine"
    head = [
        f"Found by sut tune on {datetime.now(UTC):%Y-%m-%d}, {where}.",
        f"{best.config.scenario}: {figure(best.value)} {best.unit}"
        + (f", {accuracy.text(best.accuracy)}" if best.accuracy else ""),
        *best.record.notices,
        "Paths are relative to the directory that a command is typed in.",
    ]
    lines = [f"# {line}" for one in head for line in one.splitlines()]
    return "\n".join([*lines, *(f"{name} = {json.dumps(value)}" for name, value in settings(best).items())]) + "\n"


def settings(best: Best) -> dict[str, Value]:
    """The settings to start the winner with: the given ones, and its plan of cores and batches spelt out."""
    plan = {name: best.standing.chosen[name] for name in _SPELT_OUT if name in best.standing.chosen}
    return {**given(best.config), **plan}


def _tuned(best: Best, path: Path) -> TunedRecord:
    record = best.record
    assert record.machine is not None and record.result is not None
    scored = best.accuracy.result if best.accuracy else None
    return TunedRecord(
        found=datetime.now(UTC),
        processor=record.machine.processor,
        cores=record.machine.cores,
        model=record.config.model,
        scenario=record.config.scenario,
        given=settings(best),
        chosen=tuned.chosen(record),
        metric=getattr(record.result, "metric", ""),
        unit=best.unit,
        value=best.value,
        accuracy=scored.metrics if isinstance(scored, AccuracyResult) else {},
        peak_gops=best.peak_gops,
        share_of_peak=best.share,
        best_toml=str(path),
    )


def lines(best: Best, default: Standing | None, path: Path) -> list[tuple[str, str]]:
    """The closing rows: what was found, and how good it is."""
    speed = best.standing.speed or 0.0
    rows = [("best", f"{best.config.backend} {best.record.effective_precision}, {_plan(best.standing.chosen)}")]
    rows.append((best.config.scenario, f"{figure(best.value)} {best.unit}"))
    if default and default.speed and default is not best.standing:
        times = speed / default.speed
        rows.append(("", f"{times:.1f} times as fast as {' '.join(map(str, default.engine))} by default"))
    if best.share is not None:
        rows.append(
            ("of the limit", f"{figure(100 * best.share)}% of this machine's {figure(best.peak_gops or 0)} GOP/s")
        )
    rows.append(("accuracy", _accuracy(best)))
    rows += [("note", notice) for notice in best.record.notices]
    rows.append(("settings", str(_near(path))))
    return rows


def commands(best: Best, path: Path) -> list[str]:
    """What to type next: a run, and a trial of a submission."""
    given = f"--config {shlex.quote(str(_near(path)))}"
    rate = f" --target-qps {plain(best.value)}" if best.config.scenario == "Server" else ""
    return [
        f"python -m sut {given}{rate}",
        f"python -m sut submit --short --submitter NAME --output-dir out {given}",
    ]


def _plan(chosen: Mapping[str, Value]) -> str:
    instances, cores, tokens = (chosen.get(name) for name in _SPELT_OUT)
    if not (isinstance(instances, int) and isinstance(cores, int) and isinstance(tokens, int)):
        return "as a run plans it"
    return f"{count(instances, 'instance')} × {count(cores, 'core')}, batches of up to {tokens:,} tokens"


def _accuracy(best: Best) -> str:
    if best.accuracy is None:
        return "not measured: the answers mean nothing"
    goal = f", {best.goal:.2f} or more expected" if best.goal else ""
    is_whole = best.accuracy.samples is None
    return accuracy.text(best.accuracy) + goal + ("" if is_whole else ". Score all samples with: --mode accuracy")


def _near(path: Path) -> Path:
    with suppress(ValueError, OSError):
        return path.relative_to(Path.cwd())
    return path
