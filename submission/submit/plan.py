"""Which runs a submission takes, how each is called, and how long it will last by the speed that trial runs measured.

Accuracy comes first: it is the shortest, and what fails there would make the ten-minute runs be for nothing.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from foundation import rules
from submission.rules import rounds
from submission.submit.request import Order
from submission.submit.workspace import Workspace
from sut.queries import loadgen
from sut.run.progress import clock
from sut.settings.resolve import RunConfig, to_flags

PROBE, ACCURACY, PERFORMANCE, TEST01 = "probe", "accuracy", "performance", rounds.TEST01
_START_S = 5.0  # from a run's command to its first query, and from its last to the score
_TRIAL_S = 15.0
_OFFLINE_SLACK = 1.1  # LoadGen makes so much more Offline samples than target_qps × min_duration


@dataclass(frozen=True)
class Step:
    """One run."""

    scenario: str
    kind: str  # PROBE, ACCURACY, PERFORMANCE or TEST01
    config: RunConfig  # all but the log directory
    expected_s: float

    @property
    def name(self) -> str:
        return f"{self.scenario} {self.kind}"

    def folder(self, place: Workspace) -> Path:
        return place.run(self.scenario, self.kind)

    def flags(self, log_dir: Path) -> list[str]:
        return to_flags(replace(self.config, log_dir=log_dir))

    def command(self, place: Workspace) -> str:
        """As a person would type it."""
        return shlex.join(["python", "-m", "sut", *self.flags(self.folder(place))])


def probes(order: Order) -> list[Step]:
    """The trial runs that measure the speed."""
    return [Step(scenario, PROBE, replace(order.run, scenario=scenario), _TRIAL_S) for scenario in order.scenarios]


def queries_per_s(record: Mapping[str, Any]) -> float:
    """How fast a run was, by its run.json: queries a second, in Offline samples."""
    progress = record["progress"]
    seconds = max(progress["last_answer_s"] - progress["first_issue_s"], 1e-6)
    return float(progress["completed"] / record["plan"]["samples_per_query"] / seconds)


def runs(order: Order, place: Workspace, speeds: Mapping[str, float], samples: int) -> list[Step]:
    """All runs whose logs the package holds, in the order in which they are made."""
    kinds = [ACCURACY, PERFORMANCE, TEST01] if order.is_closed else [ACCURACY, PERFORMANCE]
    steps = [_step(order, place, scenario, kind, speeds[scenario], samples) for kind in kinds for scenario in speeds]
    return [step for step in steps if step.kind == ACCURACY] + [
        step for scenario in speeds for step in steps if step.scenario == scenario and step.kind != ACCURACY
    ]


def _step(order: Order, place: Workspace, scenario: str, kind: str, speed: float, samples: int) -> Step:
    config = replace(
        order.run,
        scenario=scenario,
        mode=ACCURACY if kind == ACCURACY else PERFORMANCE,
        execution_mode="test" if order.short else "valid",
        user_conf=place.user_conf,
        target=order.benchmark if kind == ACCURACY and not order.short else None,
        audit_config=place.audit_config if kind == TEST01 else None,
    )
    return Step(scenario, kind, config, _START_S + _expected_s(order, scenario, kind, speed, samples))


def _expected_s(order: Order, scenario: str, kind: str, speed: float, samples: int) -> float:
    if kind == ACCURACY:
        return min(samples, order.run.test_query_count or samples) / speed
    if order.short:
        return _TRIAL_S
    if scenario != "Offline":
        return rules.MIN_DURATION_S
    asked_qps = loadgen.measured_speed(replace(order.run, scenario=scenario), speed)[1]
    return max(samples, asked_qps * _OFFLINE_SLACK * rules.MIN_DURATION_S) / speed


def show(
    order: Order, place: Workspace, steps: list[Step], speeds: Mapping[str, float], conf: str, done: set[str]
) -> None:
    """Print what is about to be run and for how long, and what `conf`, a user.conf, tells LoadGen of the speed."""
    console = Console(highlight=False)
    kind = "TRIAL, never submittable" if order.short else order.division
    console.print(f"\n{order.submitter}, {kind}, round {order.round.name}, {order.benchmark} on {order.system}")
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("run", "measured", "takes about", ""):
        table.add_column(heading, justify="right" if heading == "takes about" else "left")
    for step in steps:
        measured = f"{speeds[step.scenario]:.4g} {'samples' if step.scenario == 'Offline' else 'queries'}/s"
        table.add_row(step.name, measured, clock(step.expected_s), "done before" if step.name in done else "")
    left_s = sum(step.expected_s for step in steps if step.name not in done)
    table.add_row("all that is left", "", clock(left_s), "")
    console.print(table)
    told = [line for line in conf.splitlines() if line.strip() and not line.startswith("#")]
    console.print(f"user.conf: {', '.join(told)}", soft_wrap=True, markup=False)
    console.print(f"package: {place.folder}", soft_wrap=True, markup=False)
