"""user.conf of a submission: how fast the SUT is, by its trial runs, and by a run that was invalid for want of queries.

LoadGen makes a run's queries ahead, as many as the speed that it is told needs for ten minutes. Where that speed was
too low they run out, and the run is invalid although nothing is wrong with it: then its own speed is the better one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from submission.submit import plan, workspace
from submission.submit.plan import Step
from submission.submit.request import Order
from submission.submit.workspace import Workspace
from sut.queries import loadgen
from sut.record import detail_log
from sut.settings import user_conf
from sut.tasks import TASKS

# Verdicts of LoadGen's that are false where it made too few queries.
_RAN_OUT = ("result_min_duration_met", "result_min_queries_met")


def measured(order: Order, speeds: Mapping[str, float]) -> str:
    """What the user's own user.conf says, and the measured speed of each scenario where that says nothing of it."""
    own = order.run.user_conf or Path("user.conf")
    lines = own.read_text(encoding="utf-8").splitlines() if own.is_file() else []
    lines.append(
        "# The speed that the trial runs of this submission measured; a latency is below the true one on purpose."
    )
    for scenario, speed in speeds.items():
        config = replace(order.run, scenario=scenario, user_conf=own if own.is_file() else None)
        key, value = loadgen.measured_speed(config, order.run.target_qps or speed)
        if key not in user_conf.read(config, TASKS[order.run.task].model_key):
            lines.append(f"*.{scenario}.{key} = {value:.6g}")
    return "\n".join(lines) + "\n"


def corrected(step: Step, place: Workspace, folder: Path, record: Mapping[str, Any]) -> str:
    """Tell LoadGen the speed of the invalid run in `folder` from now on; the line of user.conf that does so.

    "" where that is no remedy: queries did not run out, the command line sets the speed, or it is a Server's, which is
    not a means but the result.
    """
    config = step.config
    if record["verdict"] != "INVALID" or config.target_qps or config.scenario == "Server":
        return ""
    detail = detail_log.read_detail(folder)
    model_key = TASKS[config.task].model_key
    key, value = loadgen.measured_speed(config, plan.queries_per_s(record))
    told = float(user_conf.read(config, model_key).get(key, value))
    is_faster = value > told if key == "target_qps" else value < told
    if not is_faster or all(detail.get(name) is not False for name in _RAN_OUT):
        return ""
    name = f"{model_key}.{config.scenario}.{key}"  # wins over lines for any model or scenario
    line = f"{name} = {value:.6g}"
    kept = [one for one in place.user_conf.read_text(encoding="utf-8").splitlines() if one.split(" ")[0] != name]
    said = f"# The speed of a {step.name} run that was invalid, told {key} = {told:g}: its queries ran out."
    workspace.write(place.user_conf, "\n".join([*kept, said, line]) + "\n")
    return line
