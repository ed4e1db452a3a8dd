"""Whether a run that goes on is the one whose record lies in its folder.

A result belongs to one configuration: a run that was trained to one target and is typed again with a lower one has not
reached it. What may differ is in `RunBegan.free_settings`, such as paths and the number of devices.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from foundation.log_files import RUN
from foundation.typed_json import encode
from sut.errors import UsageError
from training.loop.events import DataOpened, Hyperparameters, RunBegan
from training.records.measurements import DataFacts
from training.records.training_record import TrainingRecord

_SAME = ("task", "division", "seed", "target", "evaluation_samples", "max_steps", "precision")
_OF_DATA = ("samples", "sha256")


def require(event: RunBegan, earlier: TrainingRecord, folder: Path) -> None:
    """Raise UsageError where a run has other settings than the one in its folder."""
    pairs = {
        name: (earlier.settings[name], value) for name, value in event.settings.items() if name in earlier.settings
    }
    pairs = {name: pair for name, pair in pairs.items() if name not in event.free_settings}
    pairs |= {name: (getattr(earlier, name), getattr(event, name)) for name in _SAME}
    own, before = event.hyperparameters, earlier.hyperparameters
    pairs |= {one.name: (getattr(before, one.name), getattr(own, one.name)) for one in fields(Hyperparameters)}
    for name, (expected, found) in pairs.items():
        _require_equal(name, encode(expected), encode(found), folder)


def require_data(event: DataOpened, earlier: DataFacts, folder: Path) -> None:
    """Raise UsageError where data of a run are not those with which it began."""
    for name in _OF_DATA:
        expected, found = getattr(earlier, name), getattr(event, name)
        if None not in (expected, found):
            _require_equal(f"{event.use} data with {name}", expected, found, folder)


def _require_equal(name: str, expected: object, found: object, folder: Path) -> None:
    if expected != found:
        raise UsageError(
            f"expected {name} {_shown(expected)} as in {folder / RUN}, the record of this run, found {_shown(found)}. "
            "Type: another --output, or the settings of that run."
        )


def _shown(value: object) -> str:
    return "none" if value is None else str(value)
