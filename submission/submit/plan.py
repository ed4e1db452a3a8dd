"""The runs that a submission needs, their flags, and their expected durations by the speed of the trial runs.

Accuracy runs come first: they are short, and a failure there saves the ten-minute runs.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from rich.table import Table

from foundation import rules, terminal
from foundation.people_numbers import clock, figure
from submission.rules import rounds
from submission.submit.request import SubmissionRequest
from submission.submit.workspace import Workspace
from sut.queries import loadgen
from sut.record.run_record import RunRecord
from sut.settings.resolve import to_flags
from sut.settings.settings import RunConfig

PROBE, ACCURACY, PERFORMANCE, TEST01 = "probe", "accuracy", "performance", rounds.TEST01
_START_S = 5.0  # from a run's command to its first query, and from its last to the score
_TRIAL_S = 15.0
_OFFLINE_SLACK = 1.1  # LoadGen's factor on target_qps × min_duration for the samples of Offline


@dataclass(frozen=True)
class Step:
    """One run of a submission."""

    scenario: str
    kind: str  # PROBE, ACCURACY, PERFORMANCE or TEST01
    config: RunConfig  # without the log directory
    expected_s: float

    @property
    def name(self) -> str:
        return f"{self.scenario} {self.kind}"

    def folder(self, output: Workspace) -> Path:
        return output.run(self.scenario, self.kind)

    def flags(self, log_dir: Path) -> list[str]:
        return to_flags(replace(self.config, log_dir=log_dir))

    def command(self, output: Workspace) -> str:
        """The command line, as a person would type it."""
        return shlex.join(["python", "-m", "sut", *self.flags(self.folder(output))])


def probes(request: SubmissionRequest) -> list[Step]:
    """The trial runs that measure the speed."""
    return [Step(scenario, PROBE, replace(request.run, scenario=scenario), _TRIAL_S) for scenario in request.scenarios]


def queries_per_s(record: RunRecord) -> float:
    """The speed of a finished run: queries per second (Offline: samples)."""
    assert record.progress and record.plan
    return record.progress.completed / record.plan.samples_per_query / max(record.progress.window_s, 1e-6)


def runs(request: SubmissionRequest, output: Workspace, speeds: Mapping[str, float], samples: int) -> list[Step]:
    """The runs that go into the package, in the order in which they are made."""
    kinds = [ACCURACY, PERFORMANCE, TEST01] if request.is_closed else [ACCURACY, PERFORMANCE]
    steps = [_step(request, output, scenario, kind, speeds[scenario], samples) for kind in kinds for scenario in speeds]
    return [step for step in steps if step.kind == ACCURACY] + [
        step for scenario in speeds for step in steps if step.scenario == scenario and step.kind != ACCURACY
    ]


def _step(request: SubmissionRequest, output: Workspace, scenario: str, kind: str, speed: float, samples: int) -> Step:
    config = replace(
        request.run,
        scenario=scenario,
        mode=ACCURACY if kind == ACCURACY else PERFORMANCE,
        execution_mode="test" if request.short else "valid",
        user_conf=output.user_conf,
        target=request.benchmark if kind == ACCURACY and not request.short else None,
        audit_config=output.audit_config if kind == TEST01 else None,
    )
    return Step(scenario, kind, config, _START_S + _expected_s(request, scenario, kind, speed, samples))


def _expected_s(request: SubmissionRequest, scenario: str, kind: str, speed: float, samples: int) -> float:
    if kind == ACCURACY:
        return min(samples, request.run.test_query_count or samples) / speed
    if request.short:
        return _TRIAL_S
    if scenario != "Offline":
        return rules.MIN_DURATION_S
    asked_qps = loadgen.measured_speed(replace(request.run, scenario=scenario), speed)[1]
    return max(samples, asked_qps * _OFFLINE_SLACK * rules.MIN_DURATION_S) / speed


def facts(step: Step, speeds: Mapping[str, float]) -> dict[str, object]:
    """A run for --json."""
    return {"run": step.name, "queries_per_s": speeds[step.scenario], "expected_s": round(step.expected_s, 1)}


def show(
    request: SubmissionRequest,
    output: Workspace,
    steps: list[Step],
    speeds: Mapping[str, float],
    conf: str,
    done: set[str],
) -> None:
    """Print the runs with their expected durations, and the settings of `conf`, the text of a user.conf."""
    console = terminal.console()
    kind = "TRIAL, never submittable" if request.short else request.division
    console.print(f"\n{request.submitter}, {kind}, round {request.round.name}, {request.benchmark} on {request.system}")
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("run", "measured", "takes about", ""):
        table.add_column(heading, justify="right" if heading == "takes about" else "left")
    for step in steps:
        measured = f"{figure(speeds[step.scenario])} {'samples' if step.scenario == 'Offline' else 'queries'}/s"
        table.add_row(step.name, measured, clock(step.expected_s), "done before" if step.name in done else "")
    left_s = sum(step.expected_s for step in steps if step.name not in done)
    table.add_row("remaining", "", clock(left_s), "")
    console.print(table)
    settings = [line for line in conf.splitlines() if line.strip() and not line.startswith("#")]
    for place, line in enumerate(settings):
        console.print(f"{'user.conf' if place == 0 else '':9}  {line}", soft_wrap=True)
    console.print(f"package    {output.folder}", soft_wrap=True)
