"""What a run must reach: one row per named accuracy target; the type also serves other targets, such as a speed."""

from __future__ import annotations

from dataclasses import dataclass

from foundation.errors import UserError
from foundation.rules import F1_TARGETS, REFERENCE_F1, SAMPLES
from foundation.suggest import did_you_mean

METRICS = {"f1": "F1", "accuracy": "accuracy"}  # as they are printed; another task's metric, as it is called
_RULES = (
    f"MLPerf inference rules: a share of the fp32 reference's F1 of {REFERENCE_F1} on the SQuAD v1.1 development set"
)
_FLOOR = "this project: the minimum of the embedded model on its own data"


class UnknownTargetError(UserError, ValueError):
    """An unknown target, or one of another metric; the message suggests the nearest."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """`metric` must be at least `value`, in percent for an accuracy, otherwise in the metric's own unit."""

    name: str
    metric: str
    value: float
    source: str
    total_sample_count: int | None = None  # size of the data set that the value is defined for; None: any
    at_most: bool = False  # `value` is an upper limit, as for a latency

    def is_met(self, value: float) -> bool:
        """True if `value` of the metric reaches the target."""
        return value <= self.value if self.at_most else value >= self.value


TARGETS = {
    target.name: target
    for target in (
        *(
            Target(name=name, metric="f1", value=value, source=_RULES, total_sample_count=SAMPLES)
            for name, value in F1_TARGETS.items()
        ),
        Target(name="demo", metric="f1", value=90.0, source=_FLOOR),
        Target(name="demo-sst2", metric="accuracy", value=90.0, source=_FLOOR),
    )
}


def target(name: str, metric: str = "f1") -> Target:
    """The target called `name`, or the target that a number in percent ("89.5") describes.

    Args:
        metric: the metric of the task.

    Raises:
        UnknownTargetError: `name` is neither, or a target of another metric.
    """
    fitting = [one.name for one in TARGETS.values() if one.metric == metric]
    if name in fitting:
        return TARGETS[name]
    value = _number(name)
    if value is not None:
        return Target(name=name, metric=metric, value=value, source="the command line")
    hint = did_you_mean(name, fitting, similar=0.4) or ""
    names = f"{', '.join(fitting)}, or " if fitting else ""
    accepted = f"{names}a number from 0 to 100 for {METRICS.get(metric, metric)}"
    raise UnknownTargetError(f"expected a target ({accepted}), found {name!r}.{hint}")


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0.0 <= value <= 100.0 else None
