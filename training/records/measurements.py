"""What is measured of a training run, as it stands in run.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class DataFacts:
    """Data that a run reads; see `training.loop.events.DataOpened`."""

    use: str
    path: Path
    samples: int
    tokens: int | None = None
    sha256: str | None = None
    digest_of: str = "content"


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """The network's size; see `training.loop.events.InitDone`."""

    parameters: int
    encoder_parameters: int
    layers: int
    hidden_size: int


@dataclass(frozen=True, kw_only=True)
class EvaluationRecord:
    """Attributes:
    time_s: its end, in seconds since 1970.
    samples: trained before it.
    values: the first is compared with the target.
    """

    time_s: float
    step: int
    samples: int
    values: Mapping[str, float]
    evaluated_samples: int
    seconds: float

    @property
    def score(self) -> float:
        """The value that is compared with the target."""
        return next(iter(self.values.values()))


@dataclass(frozen=True, kw_only=True)
class Life:
    """The processes of a run from a start to their end: a run that is never interrupted has one life.

    Attributes:
        began_s, training_began_s, seen_s: start of the process, start of the training, last sign of life; in seconds
            since 1970.
        devices, nodes: of this life: a restart may have others.
        first_step: the first that it trains; after a kill some steps are trained a second time.
        steps, samples, tokens: trained in this life, over all ranks.
        squared_lengths: Σ length² of its samples.
        step_s: its steps, with waiting for data. computing_s: of these, without waiting, the device waited for.
        peak_flops_per_s: of a device, at a matrix product before the training; None: not measured.
        memory_bytes: the most that the first rank has held.
    """

    began_s: float
    training_began_s: float | None = None
    seen_s: float
    devices: int
    nodes: int
    first_step: int | None = None
    steps: int = 0
    samples: int = 0
    tokens: int = 0
    squared_lengths: int = 0
    step_s: float = 0.0
    computing_s: float = 0.0
    evaluation_s: float = 0.0
    checkpoint_s: float = 0.0
    peak_flops_per_s: float | None = None
    memory_bytes: int = 0
