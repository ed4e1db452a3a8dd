"""The target of a run: the one of `--target` or its default, and whether a result meets it.

Only LoadGen's rules decide whether a run is VALID; the target affects the exit code only.
"""

from __future__ import annotations

from accuracy.targets import Target, target
from backends import BACKENDS
from backends.bert.model import Model
from foundation.people_numbers import figure
from sut.record.results import PerformanceResult
from sut.settings.settings import DEMO, RunConfig
from sut.tasks import Task


def default(config: RunConfig, model: Model, task: Task, samples: int) -> Target | None:
    """The default target: the demo's on the demo, the official one on the full data set, else none."""
    if config.mode != "accuracy" or not BACKENDS[config.backend].answers_count:
        return None
    if config.model == DEMO and config.dataset is None and task.demo is not None:
        return target(task.demo.target, task.metric)
    if task.targets and samples == task.full_size and not model.is_random:
        return target(task.targets[0], task.metric)
    return None


def is_met(goal: Target | None, result: PerformanceResult) -> bool:
    """Whether the target is met (true without one); an invalid result never meets it."""
    return goal is None or (result.valid and result.value is not None and goal.is_met(result.value))


def row(goal: Target, result: PerformanceResult) -> tuple[str, str]:
    """("PASS", "812 samples/s, expected 150 or more")."""
    found = "no figure" if result.value is None else f"{figure(result.value)} {result.unit}"
    invalid = "" if result.valid else ", and the result is INVALID"
    side = "less" if goal.at_most else "more"
    return "PASS" if is_met(goal, result) else "FAIL", f"{found}, expected {figure(goal.value)} or {side}{invalid}"
