"""The trials of a tuning: each a run in its own process, and a row on disk before the next one starts.

A row that is there already is not measured again, and all decisions follow from rows and their times alone. So a tuning
that was killed takes the same way again, without the runs, and goes on where it stopped.
"""

from __future__ import annotations

import json
import re
import shutil
import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Literal, Protocol

from foundation.rules import SCENARIOS
from sut.commands.sweep import rows
from sut.commands.sweep.grid import Value
from sut.commands.sweep.rows import RunOutcome
from sut.commands.tune.search import DIVISOR
from sut.commands.tune.space import Candidate, Settings, Space
from sut.errors import UsageError
from sut.machine import limits
from sut.processes import run_process
from sut.record import run_record
from sut.record.results import PeakResult, PerformanceResult, Result
from sut.settings.resolve import given, to_flags
from sut.settings.settings import MAX_BATCH_TOKENS, RunConfig

Kind = Literal["screen", "trial", "accuracy"]
SHORTEST_S = 1.5  # of a trial's timed window, or of a probe
_BATCHES = 4  # full batches for each instance, at least: with fewer, the last one decides the figure
_CHOSEN = ("instances", "cores_per_instance", "threads", "max_batch_tokens")
_START_S = 5.0  # of a process, before one was measured
_PROBES = 10  # of a search for a peak, about
_MOST_OF_LEFT = 1 / 3  # of the time left, for one run: building an engine must leave time for the others
_LEAST_S = 20.0  # that a run may take even so, if so much is left


@dataclass(frozen=True, kw_only=True)
class TrialRow(RunOutcome):
    """One run of a tuning."""

    kind: Kind
    settings: Mapping[str, Value]
    rung: int = 0
    turn: int = 1
    samples: int | None = None  # of an accuracy run; None: all
    given: Mapping[str, Value | None]
    chosen: Mapping[str, Value] = field(default_factory=dict)  # what the run chose by itself
    wall_s: float
    stopped: bool = False  # it took longer than the tuning could wait
    log_dir: str  # relative to the tuning's directory

    @property
    def speed(self) -> float | None:
        """Queries per second, or the reciprocal of a latency: higher is better. None without a figure.

        Of a search for a peak that was stopped: the highest rate that was valid until then.
        """
        is_usable = self.error is None or (self.stopped and isinstance(self.result, PeakResult))
        return speed_of(self.result) if is_usable else None


def speed_of(result: Result | None) -> float | None:
    """A result as a speed, valid or not: a trial may be too short for a verdict."""
    if not isinstance(result, PerformanceResult | PeakResult) or not result.value:
        return None
    return 1e3 / result.value if isinstance(result, PerformanceResult) and result.unit == "ms" else result.value


def most_s(left_s: float) -> float:
    """How long a run may take, in seconds, of the time left; then it is stopped."""
    return min(left_s, max(_LEAST_S, _MOST_OF_LEFT * left_s))


class Watcher(Protocol):
    """Shows what is being run, and what was found."""

    def start(self, label: str) -> None: ...

    def end(self, row: TrialRow) -> None: ...


class Trials:
    """Makes runs, or finds their rows."""

    def __init__(
        self,
        space: Space,
        folder: Path,
        lock: int,
        budget_s: float,
        mean_tokens: float,
        watcher: Watcher,
        run: Callable[..., int] = run_process.run,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`lock`: of the directory `folder`; `mean_tokens`: of a sample; `run`: see `run_process.run`."""
        self._space, self._folder, self._lock, self._budget_s = space, folder, lock, budget_s
        self._mean_tokens, self._watcher, self._process, self._now_s = mean_tokens, watcher, run, now_s
        known = rows.read_as(TrialRow, self.path)
        self._known = {_key(row): row for row in known if not row.stopped}
        self.used: list[TrialRow] = []  # by this tuning, in the order of the search

    @property
    def path(self) -> Path:
        return self._folder / rows.NAME

    @property
    def used_s(self) -> float:
        """Time of all runs."""
        return sum(row.wall_s for row in self.used)

    @property
    def left_s(self) -> float:
        """Time left for runs; 0 if none can end in it."""
        left_s = self._budget_s - self.used_s
        return left_s if left_s > SHORTEST_S else 0.0

    def time_left(self) -> float:
        return self.left_s / self._budget_s

    def share_of(self, rung: int) -> float:
        """Share of the budget that a trial of this rung takes: what a process takes to start, and its window."""
        starts = [max(0.0, row.wall_s - self._window_s(row.rung)) for row in self.used if row.kind == "trial"]
        return ((statistics.median(starts) if starts else _START_S) + self._window_s(rung)) / self._budget_s

    def _window_s(self, rung: int) -> float:
        is_search = self._space.scenario == "Server"
        return float(SHORTEST_S * DIVISOR**rung * (_PROBES if is_search else 1))

    def screen(self, one: Candidate) -> float | None:
        """Offline in place of Server: a search for the peak takes ten times as long."""
        if self._space.scenario != "Server":
            return self.trial(one, 0)
        config = replace(self._space.config(one), scenario="Offline", target_latency_ms=None)
        return self._row("screen", one, self._timed(config, 0)).speed

    def screened(self, one: Candidate) -> float | None:
        """The speed that `screen` found; None if it found none or was not asked."""
        kind = "screen" if self._space.scenario == "Server" else "trial"
        rows = (row for row in self.used if (row.kind, row.settings, row.rung) == (kind, one.settings, 0))
        return next((row.speed for row in rows), None)

    def trial(self, one: Candidate, rung: int, turn: int = 1) -> float | None:
        """See `search.Bench`."""
        return self._row("trial", one, self._timed(self._space.config(one), rung), rung, turn).speed

    def accuracy(self, one: Candidate, target: str | None, samples: int | None) -> TrialRow:
        """The accuracy of the candidate's engine, over the first `samples` samples or all."""
        config = replace(self._space.config(one), scenario="Offline", mode="accuracy", target_latency_ms=None)
        return self._row("accuracy", one, replace(config, target=target, test_query_count=samples))

    def chosen(self, one: Candidate) -> Settings:
        """See `search.Bench`."""
        found = (row for row in reversed(self.used) if row.settings == one.settings and row.chosen)
        row = next((row for row in found if row.kind == "trial"), None)
        return {**one.settings, **(row.chosen if row else {})}

    def _timed(self, config: RunConfig, rung: int) -> RunConfig:
        """The configuration as a trial: at least so long, and at least as many queries as a figure needs."""
        least = SCENARIOS[config.scenario].early_stopping_queries
        if not least:
            batch = config.max_batch_tokens or (config.batch_size or 0) * self._mean_tokens or MAX_BATCH_TOKENS
            instances = config.instances or self._space.cores // (config.cores_per_instance or 1) or 1
            least = round(_BATCHES * instances * max(1.0, batch / self._mean_tokens))
        return replace(
            config,
            find_peak=config.scenario == "Server",
            min_duration_s=SHORTEST_S * DIVISOR**rung,
            test_query_count=least,
        )

    def _row(self, kind: Kind, one: Candidate, config: RunConfig, rung: int = 0, turn: int = 1) -> TrialRow:
        planned = TrialRow(
            kind=kind,
            settings=one.settings,
            rung=rung,
            turn=turn,
            samples=config.test_query_count if kind == "accuracy" else None,
            given=given(config),
            exit_code=0,
            verdict="unfinished",
            error=None,
            figures={},
            wall_s=0.0,
            log_dir=str(Path("runs") / f"{kind}-{_readable(one)}-{rung}-{turn}-{len(self.used) + 1:03}"),
        )
        key = _key(planned)
        row = self._known.get(key)
        if row is not None and row in self.used:
            return row
        if row is None and not self.left_s:
            return self._not_run(planned)
        self._watcher.start(f"{one}: {_LABELS[kind]}")
        if row is None:
            row = self._known[key] = self._run(planned, config)
            rows.append(self.path, row)
        self.used.append(row)
        self._watcher.end(row)
        return row

    def _not_run(self, planned: TrialRow) -> TrialRow:
        """Without a figure; on disk it is not there, so that `--resume` runs it."""
        row = replace(planned, error="no time left: type a longer --minutes", stopped=True)
        if row.kind == "accuracy":  # why its engine cannot win
            self.used.append(row)
        return row

    def _run(self, planned: TrialRow, config: RunConfig) -> TrialRow:
        log_dir = self._folder / planned.log_dir
        shutil.rmtree(log_dir, ignore_errors=True)  # of a run that was interrupted
        start_s, allowed_s = self._now_s(), most_s(self.left_s)
        with limits.named(f"start a run with its logs in {log_dir}"):
            log_dir.mkdir(parents=True)
            flags = ["run", *to_flags(replace(config, log_dir=log_dir))]
            code = self._process(flags, self._lock, log_dir / rows.CONSOLE, most_s=allowed_s)
        wall_s = self._now_s() - start_s
        found, stopped = rows.outcome(log_dir, code), wall_s >= allowed_s
        outcome = {one.name: getattr(found, one.name) for one in fields(found)}
        if stopped:
            outcome["error"] = f"stopped after {wall_s:.0f} s: type a longer --minutes"
        return replace(planned, **outcome, chosen=_chosen(log_dir), wall_s=round(wall_s, 3), stopped=stopped)


_LABELS: dict[Kind, str] = {"screen": "Offline", "trial": "speed", "accuracy": "accuracy"}


def _key(row: TrialRow) -> str:
    return json.dumps([row.kind, dict(row.settings), dict(row.given), row.rung, row.turn, row.samples], sort_keys=True)


def _readable(one: Candidate) -> str:
    return re.sub(r"[^\w.=-]+", "_", str(one))[:80]


def _chosen(log_dir: Path) -> dict[str, Value]:
    with suppress(UsageError):
        config = run_record.read(log_dir).config
        return {name: value for name in _CHOSEN if (value := getattr(config, name)) is not None}
    return {}
