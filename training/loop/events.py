"""What happens in a run, as plain data: the loop prints and writes nothing itself, it calls listeners.

Listeners are called on the first rank alone, in this order:

    RunBegan → [DataOpened …] → InitDone → TrainingBegan → [CheckpointRefused …] [Resumed]
    → EvaluationDone (the start's) → BlockBegan → (StepDone … [CheckpointWritten] …) → BlockEnded → EvaluationDone
    → [TargetReached] → … → RunEnded

A block is the training between two evaluations. `samples` counts those of all ranks since the first step, of this life
and the ones before; a step is an optimizer step, and the first is step 1.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Status = Literal["reached", "missed", "interrupted", "failed"]
Division = Literal["closed", "open"]


@dataclass(frozen=True, kw_only=True)
class Event:
    """Attributes: time_s: when it happened, in seconds since 1970."""

    time_s: float = field(default_factory=time.time)


@dataclass(frozen=True, kw_only=True)
class Hyperparameters:
    """What MLPerf's closed division has logged. Steps and rates as in `optimizers.schedule`."""

    global_batch_size: int
    gradient_accumulation_steps: int
    optimizer: str
    learning_rate: float
    beta_1: float
    beta_2: float
    epsilon: float
    weight_decay: float
    max_steps: int
    warmup_steps: int
    start_warmup_step: int


@dataclass(frozen=True, kw_only=True)
class RunBegan(Event):
    """The process has read its configuration; nothing is loaded.

    Attributes:
        settings: the whole configuration by name, as plain values for JSON. `free_settings`: those of them that may
            have another value where a run goes on.
        device: such as "cpu" or "cuda"; `device_name` as the machine calls it.
        devices: processes of the run, one a device; `nodes`: machines.
        threads: of each process on a CPU.
        versions: of Python, torch and this package, by name.
        started_s: when the process started, in seconds since 1970.
        target: of the first value of an evaluation; None: the run has none.
        evaluation_samples: between two evaluations.
        remark: a line on this machine to read before a long run; None: there is nothing to say.
    """

    task: str
    settings: Mapping[str, object]
    free_settings: frozenset[str] = frozenset()
    hyperparameters: Hyperparameters
    division: Division
    seed: int
    target: float | None
    evaluation_samples: int
    max_steps: int
    precision: str
    parallel: str
    device: str
    device_name: str
    devices: int
    nodes: int
    threads: int
    restart: int
    versions: Mapping[str, str]
    started_s: float
    folder: Path
    remark: str | None = None


@dataclass(frozen=True, kw_only=True)
class DataOpened(Event):
    """Data of the run, by whoever opens them; none of their content has been read for training.

    Attributes:
        use: such as "training" or "evaluation".
        samples, tokens: in it, whatever share of it is used.
        sha256: of its content or of its index, as `digest_of` says; None: too much to read before a run.
    """

    use: str
    path: Path
    samples: int
    tokens: int | None = None
    sha256: str | None = None
    digest_of: str = "content"


@dataclass(frozen=True, kw_only=True)
class InitDone(Event):
    """The network is built, on its device and wrapped; no training data has been touched.

    Attributes:
        parameters: of the network, all of them.
        encoder_parameters: those of the matrix products that each token passes through: 6 FLOP each a token trained.
        layers, hidden_size: of the encoder, for attention's FLOP: 12·layers·hidden_size·Σ length² a step.
    """

    parameters: int
    encoder_parameters: int
    layers: int
    hidden_size: int


@dataclass(frozen=True, kw_only=True)
class TrainingBegan(Event):
    """The clock of the training starts: from here data is read."""


@dataclass(frozen=True, kw_only=True)
class CheckpointRefused(Event):
    """A damaged checkpoint was passed over."""

    path: Path
    reason: str


@dataclass(frozen=True, kw_only=True)
class Resumed(Event):
    """Training goes on from a checkpoint: after an interruption, or after a fault, which `RunBegan.restart` counts."""

    path: Path
    step: int
    samples: int


@dataclass(frozen=True, kw_only=True)
class BlockBegan(Event):
    """Attributes: block_samples: to the next evaluation."""

    step: int
    samples: int
    block_samples: int


@dataclass(frozen=True, kw_only=True)
class BlockEnded(Event):
    """Attributes: block_samples: since BlockBegan."""

    step: int
    samples: int
    block_samples: int


@dataclass(frozen=True, kw_only=True)
class StepDone(Event):
    """Attributes:
    loss, parts: over all samples of the step, before the update.
    gradient_norm: global, before clipping; None where fp16's gradients overflowed and the step changed no weight.
    seconds: from the end of the step before, or of the evaluation or checkpoint between.
    computing_s: of these, forward, backward, gradients over the ranks and update, the device waited for.
    step_samples, tokens, squared_lengths: of the step, over all ranks; squared_lengths is Σ length².
    memory_bytes: the most that this process has held at once: on the GPU, or resident on a CPU.
    """

    step: int
    samples: int
    loss: float
    parts: Mapping[str, float]
    learning_rate: float
    gradient_norm: float | None
    seconds: float
    computing_s: float
    step_samples: int
    tokens: int
    squared_lengths: int
    memory_bytes: int


@dataclass(frozen=True, kw_only=True)
class EvaluationBegan(Event):
    """An evaluation starts."""

    step: int
    samples: int


@dataclass(frozen=True, kw_only=True)
class EvaluationDone(Event):
    """Attributes: values: by name; the first is compared with the target."""

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
class CheckpointWritten(Event):
    """Attributes: is_best: it holds the best score so far, and is kept."""

    path: Path
    step: int
    samples: int
    seconds: float
    size_bytes: int
    is_best: bool


@dataclass(frozen=True, kw_only=True)
class TargetReached(Event):
    """An evaluation reached the target."""

    step: int
    samples: int
    score: float
    target: float


@dataclass(frozen=True, kw_only=True)
class RunEnded(Event):
    """The last event, after the model has been written.

    Attributes:
        status: reached: the target, or max_steps without one; missed: max_steps or max_samples came first.
        reason: one line for a person, where the run was interrupted or failed.
    """

    status: Status
    step: int
    samples: int
    reason: str | None = None


Listener = Callable[[Event], None]
