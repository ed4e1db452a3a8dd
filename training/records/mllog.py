"""The MLLOG lines of a run, as MLPerf's compliance checker for training 5.0.0 reads them.

An "epoch" of BERT is a sample: `epoch_num` holds the samples trained, from which the RCP checker takes the samples to
the target. A run that is killed and continues adds to its log, and its clock has run on meanwhile; only a run that came
to its end logs `run_stop`, so that a crash is never a success.

    python -m mlperf_logging.compliance_checker --ruleset 5.0.0 --werror LOG
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sut.errors import UsageError
from training.loop import events
from training.loop.events import Event, Hyperparameters
from training.records import mllog_file
from training.records.mllog_file import MllogFile

TARGET = 0.72  # masked-LM accuracy of the closed division
BENCHMARK = "bert"
_TASK = "bert"
_EVALUATED = "evaluated_samples"
_STATUS = {"reached": "success", "missed": "aborted"}
_HYPERPARAMETERS = {
    "global_batch_size": "global_batch_size",
    "gradient_accumulation_steps": "gradient_accumulation_steps",
    "opt_name": "optimizer",
    "opt_base_learning_rate": "learning_rate",
    "opt_learning_rate_training_steps": "max_steps",
    "opt_learning_rate_warmup_steps": "warmup_steps",
    "num_warmup_steps": "warmup_steps",
    "start_warmup_step": "start_warmup_step",
}
_OF_OPTIMIZER = {
    name: {f"opt_{name}_{key}": field for key, field in keys.items()}
    for name, keys in {
        "lamb": {
            "epsilon": "epsilon", "beta_1": "beta_1", "beta_2": "beta_2", "weight_decay_rate": "weight_decay",
        },
        "adamw": {"epsilon": "epsilon", "beta_1": "beta_1", "beta_2": "beta_2", "weight_decay": "weight_decay"},
    }.items()
}  # fmt: skip


class ComplianceLog:
    """A listener that writes the log."""

    def __init__(
        self,
        path: Path,
        *,
        cleared: str | None = None,
        organisation: str | None = None,
        platform: str | None = None,
        echo: bool = False,
        now_ms: Callable[[], int] | None = None,
    ) -> None:
        """Open the log at `path`; see `MllogFile`.

        Args:
            cleared: which caches were cleared before this run, as `caches.clear` says; None: none were.
            organisation, platform: who submits, and the system's name.
        """
        self._log = MllogFile(path, echo=echo, now_ms=now_ms)
        self._cleared = cleared
        self._names = {"submission_org": organisation, "submission_platform": platform}
        self._evaluated = 0
        started, stopped = self._log.places("block_start"), self._log.places("block_stop")
        self._block: int | None = max(started - stopped, default=None)
        self._block_began_s = 0.0
        self._handlers: Mapping[type[Event], Callable[[Any], None]] = {
            events.RunBegan: self._run_began,
            events.InitDone: lambda _: self._log.interval_end("init_stop"),
            events.TrainingBegan: self._training_began,
            events.Resumed: self._resumed,
            events.BlockBegan: self._block_began,
            events.BlockEnded: self._block_ended,
            events.EvaluationBegan: lambda event: self._log.interval_start("eval_start", epoch_num=event.samples),
            events.EvaluationDone: self._evaluation_done,
            events.RunEnded: self._run_ended,
        }

    def __call__(self, event: Event) -> None:
        """Raises UsageError where the run is not one of the closed division, or not the one of this log."""
        if handler := self._handlers.get(type(event)):
            handler(event)

    def _run_began(self, event: events.RunBegan) -> None:
        if event.division == "closed":
            _require_closed(event)
        log, is_ours = self._log, event.task == _TASK
        if not log.has("run_start"):
            log.point("cache_clear", self._cleared is not None, cleared=self._cleared)
        log.interval_start("init_start")
        log.point("submission_benchmark", BENCHMARK if is_ours else event.task)
        log.point("submission_division", event.division)
        log.point("submission_status", "onprem")
        for key, value in self._names.items():
            if value:
                log.point(key, value)
        log.point("seed", event.seed)
        for key, name in keys_of(event.hyperparameters).items():
            log.point(key, getattr(event.hyperparameters, name))

    def _training_began(self, event: events.TrainingBegan) -> None:
        if self._log.has("run_start") and not self._log.has("run_stop"):
            self._log.repeat("restart")
        self._log.interval_start("run_start")

    def _resumed(self, event: events.Resumed) -> None:
        if not self._log.has("run_stop"):
            self._log.repeat("resumed", event.samples, step=event.step)

    def _block_began(self, event: events.BlockBegan) -> None:
        self._block_began_s = event.time_s
        if self._block is None or self._block > event.samples:  # otherwise the one that a kill interrupted
            self._block = event.samples
            self._log.interval_start("block_start", first_epoch_num=event.samples, epoch_count=event.block_samples)

    def _block_ended(self, event: events.BlockEnded) -> None:
        seconds = max(event.time_s - self._block_began_s, 1e-9)
        if event.block_samples and not self._log.has("run_stop"):
            self._log.repeat("tracked_stats", {"throughput": event.block_samples / seconds}, step=event.samples)
        self._log.interval_end("block_stop", first_epoch_num=self._block)
        self._block = None

    def _evaluation_done(self, event: events.EvaluationDone) -> None:
        self._evaluated = event.evaluated_samples
        if math.isfinite(event.score):  # NaN is no JSON
            evaluated = {_EVALUATED: event.evaluated_samples}
            self._log.point("eval_accuracy", event.score, epoch_num=event.samples, **evaluated)
        self._log.interval_end("eval_stop", epoch_num=event.samples)

    def _run_ended(self, event: events.RunEnded) -> None:
        if status := _STATUS.get(event.status):
            self._log.point("train_samples", event.samples)
            self._log.point("eval_samples", self._evaluated or self._evaluated_before())
            self._log.interval_end("run_stop", status=status)
        self._log.close()

    def _evaluated_before(self) -> object:
        """Samples of the last evaluation of an earlier life: this one had only to end."""
        found = [line.metadata.get(_EVALUATED, 0) for line in mllog_file.read(self._log.path)]
        return next((samples for samples in reversed(found) if samples), 0)


def keys_of(parameters: Hyperparameters) -> dict[str, str]:
    """The key of each hyperparameter → its field in `Hyperparameters`."""
    return _HYPERPARAMETERS | _OF_OPTIMIZER.get(parameters.optimizer, {})


def _require_closed(event: events.RunBegan) -> None:
    """Raise UsageError for what the closed division does not allow, as far as a configuration shows it."""
    found = {
        "task": (_TASK, event.task),
        "optimizer": ("lamb", event.hyperparameters.optimizer),
        "target": (TARGET, event.target),
    }
    wrong = {name: pair for name, pair in found.items() if pair[0] != pair[1]}
    if wrong:
        expected = ", ".join(f"{name} {pair[0]}" for name, pair in wrong.items())
        actual = ", ".join(f"{name} {pair[1]}" for name, pair in wrong.items())
        raise UsageError(f'expected {expected} in the closed division, found {actual}. Type division = "open".')
