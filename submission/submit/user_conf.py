"""user.conf of a submission: the SUT's speed, from the trial runs or from a run that ran out of queries.

LoadGen generates a run's queries ahead: as many as the speed in user.conf needs for ten minutes. If that speed is too
low, the queries run out early and the run is invalid. It is then repeated with the speed that it had.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from foundation.people_numbers import plain
from submission.submit import plan, workspace
from submission.submit.plan import Step
from submission.submit.request import SubmissionRequest
from submission.submit.workspace import Workspace
from sut.queries import loadgen
from sut.record import detail_log
from sut.record.run_record import RunRecord
from sut.settings import user_conf
from sut.tasks import TASKS

MARK = "# Speeds measured by the trial runs of this submission; latencies are set below the measured ones on purpose."
# Keys of LoadGen's log that are false if it generated too few queries.
_RAN_OUT = ("result_min_duration_met", "result_min_queries_met")


def measured(request: SubmissionRequest, speeds: Mapping[str, float]) -> str:
    """The user's user.conf, plus the measured speed of each scenario for which it has none."""
    own = request.run.user_conf or Path("user.conf")
    lines = own.read_text(encoding="utf-8").splitlines() if own.is_file() else []
    lines.append(MARK)
    for scenario, speed in speeds.items():
        config = replace(request.run, scenario=scenario, user_conf=own if own.is_file() else None)
        key, value = loadgen.measured_speed(config, request.run.target_qps or speed)
        if key not in user_conf.read(config, TASKS[request.run.task].model_key).settings:
            lines.append(f"*.{scenario}.{key} = {plain(value)}")
    return "\n".join(lines) + "\n"


def corrected(step: Step, output: Workspace, folder: Path, record: RunRecord) -> str:
    """Put the speed of the invalid run in `folder` into user.conf; returns the new line.

    Returns "" if that would not help: the queries did not run out, the command line sets the speed, or the scenario is
    Server, where the speed is the result.
    """
    config = step.config
    if record.verdict != "INVALID" or config.target_qps or config.scenario == "Server":
        return ""
    detail = detail_log.read(folder)
    model_key = TASKS[config.task].model_key
    key, value = loadgen.measured_speed(config, plan.queries_per_s(record))
    own = user_conf.read(config, model_key).settings.get(key)
    configured = own.value if own else value
    is_faster = value > configured if key == "target_qps" else value < configured
    if not is_faster or not any(detail.is_missed(name) for name in _RAN_OUT):
        return ""
    name = f"{model_key}.{config.scenario}.{key}"  # takes precedence over lines for any model or scenario
    line = f"{name} = {plain(value)}"
    kept = [one for one in workspace.read(output.user_conf).splitlines() if one.split(" ")[0] != name]
    comment = f"# The speed of a {step.name} run that ran out of queries with {key} = {plain(configured)}."
    workspace.write(output.user_conf, "\n".join([*kept, comment, line]) + "\n")
    return line
