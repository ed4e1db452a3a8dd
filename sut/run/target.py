"""`--target`: what a run must reach to end with exit code 0; an accuracy, or in performance mode the scenario's figure.

A run is VALID by LoadGen's rules alone; a gate is the user's, so it decides the exit code and leaves the verdict.
"""

from __future__ import annotations

from accuracy.targets import Target, target
from backends import BACKENDS
from backends.bert.model import Model
from foundation.people_numbers import figure
from foundation.rules import SCENARIOS
from sut.errors import UsageError
from sut.record.results import PerformanceResult
from sut.settings.settings import DEMO, RunConfig
from sut.tasks import Task


def wanted(config: RunConfig, task: Task) -> Target | None:
    """What `--target` asks for in this mode and scenario; None where it was not given.

    Raises:
        UnknownTargetError: no accuracy is called so.
        UsageError: no speed is called so.
    """
    if config.target is None:
        return None
    return target(config.target, task.metric) if config.mode == "accuracy" else _speed(config.target, config.scenario)


def default(config: RunConfig, model: Model, task: Task, samples: int) -> Target | None:
    """The demo's own on the demo; the official one on the full data set; none for random weights or other data."""
    if config.mode != "accuracy" or not BACKENDS[config.backend].answers_count:
        return None
    if config.model == DEMO and config.dataset is None:
        return target(task.demo.target, task.metric)
    if task.targets and samples == task.full_size and not model.is_random:
        return target(task.targets[0], task.metric)
    return None


def _speed(text: str, scenario: str) -> Target:
    rules = SCENARIOS[scenario]
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise UsageError(
            f"expected --target as a number of {rules.unit} in --scenario {scenario}, --mode performance, "
            f"found {text!r}. An accuracy goes with --mode accuracy."
        )
    return Target(text, rules.metric, value, "the user", at_most=rules.unit == "ms")


def is_met(gate: Target | None, result: PerformanceResult) -> bool:
    """True where there is no gate; an invalid result reaches none, however fast."""
    return gate is None or (result.valid and result.value is not None and gate.is_met(result.value))


def row(gate: Target, result: PerformanceResult) -> tuple[str, str]:
    """("PASS", "812 samples/s, wanted 150 or more")."""
    found = "no figure" if result.value is None else f"{figure(result.value)} {result.unit}"
    invalid = "" if result.valid else ", and the result is INVALID"
    side = "less" if gate.at_most else "more"
    return "PASS" if is_met(gate, result) else "FAIL", f"{found}, expected {gate.value:g} or {side}{invalid}"
