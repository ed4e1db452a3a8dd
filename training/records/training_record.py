"""run.json of a training run: configuration, data, machine, lives, evaluations and figures, in a file for programs.

Only this module knows the file's keys: they are the fields of these dataclasses. The record is "unfinished" from the
start of the training, so that a killed run can be recognised, and is continued by the run's next life.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from foundation import atomic_write, bounded_readers
from foundation.bounded_readers import UnreadableError
from foundation.log_files import RUN
from foundation.typed_json import decode, encode
from sut.errors import RunFailedError, UsageError
from sut.machine.facts import MachineFacts
from training.loop.events import Division, Hyperparameters
from training.records.figures import Figures
from training.records.measurements import DataFacts, EvaluationRecord, Life, ModelFacts

VERSION = 1
Status = Literal["unfinished", "reached", "missed", "interrupted", "failed"]
_MOST_BYTES = 64 << 20


@dataclass(frozen=True, kw_only=True)
class TrainingRecord:
    """One training run, over all its lives.

    Attributes:
        kind: tells it from the record of an inference run.
        notices: to be shown with every figure.
        settings: the configuration with all choices made. `hyperparameters`: those that MLPerf has logged.
        versions: of Python, torch and this package.
        steps, samples: that the weights have seen.
        reason: why the run was interrupted or failed.
    """

    record_version: int = VERSION
    kind: Literal["training"] = "training"
    status: Status
    reason: str | None = None
    notices: tuple[str, ...] = ()
    task: str
    division: Division
    settings: Mapping[str, object]
    hyperparameters: Hyperparameters
    seed: int
    target: float | None
    evaluation_samples: int
    max_steps: int
    precision: str
    parallel: str
    device: str
    device_name: str
    threads: int
    versions: Mapping[str, str]
    machine: MachineFacts
    data: tuple[DataFacts, ...] = ()
    model: ModelFacts | None = None
    lives: tuple[Life, ...]
    evaluations: tuple[EvaluationRecord, ...] = ()
    steps: int = 0
    samples: int = 0
    figures: Figures

    @property
    def has_ended(self) -> bool:
        """Whether it came to its end: False if it was killed or interrupted, is still running, or failed."""
        return self.status in ("reached", "missed")

    @property
    def devices(self) -> int:
        """Processes of the last life, one a device."""
        return self.lives[-1].devices

    @property
    def shape(self) -> str:
        """Machines × devices of each, as FlagPerf names configurations: 2x8."""
        life = self.lives[-1]
        return f"{life.nodes}x{life.devices // max(life.nodes, 1)}"


@dataclass(frozen=True)
class _Head:
    kind: str = "inference"
    record_version: int = 1


def path_of(run: Path) -> Path:
    """The path of run.json, given a run's directory or the file itself."""
    return run / RUN if run.is_dir() else run


def read(run: Path) -> TrainingRecord:
    """The record of `run`, a training run's directory or its run.json.

    Raises:
        UsageError: it does not exist, is broken (the message names the value), of a newer version, or not of a training
            run.
    """
    path = path_of(run)
    try:
        return parse(bounded_readers.read_json(path, _MOST_BYTES))
    except UnreadableError as error:
        raise UsageError(
            f"expected the record of a training run in {path}, found {error}. Type the directory of a run of "
            "training.pretrain."
        ) from error


def parse(content: object) -> TrainingRecord:
    """The record, given the file's JSON.

    Raises:
        UnreadableError: it is not the record of a training run.
    """
    head = decode(_Head, content)
    if head.kind != "training":
        raise UnreadableError(f"the record of an {head.kind} run" if head.kind == "inference" else "another record")
    if not 1 <= head.record_version <= VERSION:
        raise UnreadableError(f"version {head.record_version}; this release reads versions up to {VERSION}")
    found = decode(TrainingRecord, content)
    if not found.lives or not all(one.values for one in found.evaluations):
        raise UnreadableError("nothing at lives" if not found.lives else "an evaluation without values")
    return replace(found, record_version=head.record_version)


def write(folder: Path, record: TrainingRecord) -> Path:
    """Write run.json atomically: readers see the earlier record or this one, never a part.

    Raises:
        RunFailedError: it cannot be written.
    """
    path = folder / RUN
    try:
        return atomic_write.write_text(path, json.dumps(encode(record), indent=2) + "\n")
    except OSError as error:
        raise RunFailedError(
            f"expected to write {path}, found: {error}. Free some space, or type another output directory."
        ) from error
