"""`--target`: what a run must reach to end with exit code 0; an accuracy, or in performance mode the scenario's figure.

A run is VALID by LoadGen's rules alone. The target is the user's: it decides the exit code and leaves the verdict.
"""

from __future__ import annotations

from accuracy.targets import Target, target
from foundation.rules import SCENARIOS
from sut.errors import UsageError
from sut.settings.settings import RunConfig
from sut.tasks import TASKS


def parse(config: RunConfig) -> Target | None:
    """The target given by `--target` for this task, mode and scenario; None without the flag.

    Raises:
        UnknownTargetError: no accuracy has this name.
        UsageError: it is not a figure of the scenario.
    """
    if config.target is None:
        return None
    if config.mode == "accuracy":
        return target(config.target, TASKS[config.task].metric)
    return _speed(config.target, config.scenario)


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
    return Target(name=text, metric=rules.metric, value=value, source="the user", at_most=rules.unit == "ms")
