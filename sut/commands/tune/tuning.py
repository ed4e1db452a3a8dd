"""One tuning from start to end: what may be chosen, the search, the winner's share of the limit, what is written."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace

from rich.table import Table

from accuracy.targets import target as named_target
from backends import BACKENDS
from backends.bert.checkpoints import find_model
from foundation import tables, terminal
from foundation.people_numbers import clock
from foundation.rules import SCENARIOS
from sut.commands.sweep import rows
from sut.commands.tune import accuracy, outcome, search, table
from sut.commands.tune.accuracy import Judge
from sut.commands.tune.board import Board
from sut.commands.tune.outcome import Best
from sut.commands.tune.request import Request
from sut.commands.tune.space import Candidate, Space, space
from sut.commands.tune.table import Standing
from sut.commands.tune.trials import Trials
from sut.errors import UsageError
from sut.fetch import resolve as asset_paths
from sut.machine import load, topology
from sut.processes import directory_lock
from sut.running import conditions, engines
from sut.running import target as run_target
from sut.settings.settings import RunConfig
from sut.tasks import TASKS

_CLOSING_S = 20.0  # of the time, for the machine's peak


def carry_out(request: Request) -> bool:
    """Search, write and print; returns whether an engine was found that is accurate enough.

    Raises:
        UsageError: a setting, a value or a directory cannot be used; no run was started.
        RunFailedError: a row could not be written.
    """
    before = load.now()
    found = space(request.axes, request.values, request.toml, topology.this_machine())
    config = found.config(found.engines[0])
    if config.is_on_nodes:
        raise UsageError(f"expected an executor of this machine, found --executor {config.executor}. Remove it.")
    lengths = engines.data_of(config)(asset_paths.dataset(config)).features.lengths
    with directory_lock.held(request.folder, "tuning") as held:
        if (request.folder / rows.NAME).exists() and not request.resume:
            raise UsageError(f"found a tuning in {request.folder}. Type --resume, or another --output-dir.")
        budget_s = max(60 * request.minutes - _CLOSING_S, 0.7 * 60 * request.minutes)
        board = Board(_unit(found), budget_s)
        trials = Trials(found, request.folder, held, budget_s, float(lengths.mean()), board)
        judge = _judge(found, trials, request.target, len(lengths))
        terminal.console(stderr=True).print("\n".join([_opening(found, config, request.minutes), *_warnings(before)]))
        with board:
            ranked = search.search(found, trials, judge.is_accurate)
        return _report(request, found, trials, judge, ranked)


def _unit(found: Space) -> str:
    """The unit of what is compared; Server's is that of a peak."""
    return "queries/s" if found.scenario == "Server" else SCENARIOS[found.scenario].unit


def _judge(found: Space, trials: Trials, name: str | None, samples: int) -> Judge:
    one = found.config(found.engines[0])
    task = TASKS[one.task]
    given = None if name is None else named_target(name, task.metric)
    if not BACKENDS[one.backend].runs_model:
        return Judge(found, trials, None, samples, is_random=True)
    model = find_model(asset_paths.model_spec(one), task.head)
    target = given or run_target.default(replace(one, mode="accuracy"), model, task, samples)
    return Judge(found, trials, target, samples, is_random=model.is_random)


def _opening(found: Space, config: RunConfig, minutes: float) -> str:
    engines_text = ", ".join(f"{backend} {precision}" for backend, precision in (one.engine for one in found.engines))
    levels = " × ".join(["engine", *(level.name for level in found.levels)])
    return "\n".join(
        [
            f"tuning {config.scenario}: {config.task}, {config.model}; up to {clock(60 * minutes)}",
            f"{levels}, of {engines_text}",
        ]
    )


def _warnings(before: load.Moment) -> list[str]:
    """What slows this machine down from outside; asked before anything of ours runs on other cores."""
    cpus = {cpu.number for cpu in topology.this_machine().cpus}
    others = load.other_cores(before, load.now(), cpus)
    found = (conditions.machine(others, len(cpus)), conditions.governed(load.slow_governor(cpus)))
    return [f"warning: {text}" for text in found if text]


def _report(request: Request, found: Space, trials: Trials, judge: Judge, ranked: list[Candidate]) -> bool:
    console, used = terminal.console(), trials.used
    standing = table.standings(used)
    by_settings = {tuple(one.settings.items()): one for one in standing}
    best = by_settings[ranked[0].chosen] if ranked else None
    order = [one for one in standing if one is best] + [one for one in standing if one is not best]
    made = table.columns(order, _unit(found), accuracy.texts(used), best)
    tables.show(made.headings, made.rows, made.numbers)
    for line in _failures(found, trials, judge, standing):
        console.print(line)
    if best is None:
        was_short = not trials.left_s or any(row.stopped for row in used)
        console.print(outcome.nothing(request, was_short=was_short), soft_wrap=True)
        return False
    winner = _best(request, found, trials, judge, ranked[0], best)
    path = outcome.write(winner, request.folder)
    closing = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    closing.add_column(style="dim", no_wrap=True)
    closing.add_column(overflow="fold")
    default = by_settings.get(found.engines[0].chosen)
    for name, value in outcome.lines(winner, default, path):
        closing.add_row(name, value)
    console.print()
    console.print(closing)
    console.print("next", style="dim")
    for command in outcome.commands(winner, path):
        console.print(f"  {command}", soft_wrap=True)  # a line as it is copied
    return True


def _failures(found: Space, trials: Trials, judge: Judge, standing: list[Standing]) -> Iterator[str]:
    """What did not run, missed the accuracy, or was not tried."""
    for one in standing:
        if one.speed is None:
            yield f"{' '.join(map(str, one.engine))}: {one.error}"
    for engine, row in judge.found.items():
        if why := row.error or judge.shortfall(row):
            yield f"{' '.join(map(str, engine))}: {why}"
    tried = {(row.settings["backend"], row.settings["precision"]) for row in trials.used}
    left = [" ".join(map(str, one.engine)) for one in found.engines if one.engine not in tried]
    if left:
        yield f"no time for {', '.join(left)}: type a longer --minutes"


def _best(request: Request, found: Space, trials: Trials, judge: Judge, winner: Candidate, standing: Standing) -> Best:
    config = found.config(winner)
    record = outcome.record_of(trials.used, standing, request.folder)
    measures = 60 * request.minutes - trials.used_s >= _CLOSING_S
    if measures:
        print("measuring this machine's peak at the model's matrix products", file=sys.stderr, flush=True)
    share = outcome.share_of_peak(config, record, standing.speed or 0.0, measures=measures)
    return Best(
        config=config,
        standing=standing,
        record=record,
        unit=_unit(found),
        share=share[0] if share else None,
        peak_gops=share[1] if share else None,
        accuracy=judge.found.get(winner.engine),
        goal=judge.goal() if winner.engine in judge.found else None,
    )
