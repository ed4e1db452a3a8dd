"""The listener that keeps run.json: written at the start, evaluations, checkpoints, twice a minute and at the end.

A run that is killed is continued by its next life, which finds the record and adds to it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from sut.machine import facts
from training.loop import events
from training.loop.events import Event
from training.records import figures, same_run, training_record
from training.records.measurements import DataFacts, EvaluationRecord, Life, ModelFacts
from training.records.training_record import TrainingRecord

_EVERY_S = 30.0  # between two writes without an evaluation or a checkpoint
OPEN = "open division: not comparable with MLPerf's closed results"
_OF_PEAK = ("device", "device_name", "threads", "precision")
_SAME = ("task", "division", "settings", "hyperparameters", "seed", "target", "evaluation_samples", "max_steps",
         "precision", "parallel", "device", "device_name", "threads", "versions")  # fmt: skip


class RecordWriter:
    """Keeps the record of a run in `folder`; `record` is the latest, with the figures of its last write; None before
    RunBegan."""

    def __init__(
        self, folder: Path, *, notices: Sequence[str] = (), peak: Callable[[str, str], float] | None = None
    ) -> None:
        """
        Args:
            notices: to be shown with every figure, such as that a model is a demo.
            peak: measures a device's FLOP/s, given the device and the precision (`peak.measure`); None: no MFU.

        Raises:
            UsageError: there is a run.json in `folder` that is not a training run's.
        """
        self._folder, self._notices, self._peak = folder, tuple(notices), peak
        self._earlier = training_record.read(folder) if training_record.path_of(folder).is_file() else None
        self.record: TrainingRecord | None = None
        self._written_s = 0.0
        self._handlers: Mapping[type[Event], Callable[[TrainingRecord, Any], TrainingRecord]] = {
            events.DataOpened: self._data_opened,
            events.InitDone: self._init_done,
            events.TrainingBegan: lambda record, event: _seen(record, event, training_began_s=event.time_s),
            events.Resumed: _resumed,
            events.StepDone: _step_done,
            events.EvaluationDone: _evaluation_done,
            events.CheckpointWritten: _checkpoint_written,
            events.RunEnded: lambda record, event: replace(
                _seen(record, event), status=event.status, reason=event.reason, steps=event.step, samples=event.samples
            ),
        }

    def __call__(self, event: Event) -> None:
        """Raises RunFailedError if the record cannot be written, UsageError if it is another run's."""
        if isinstance(event, events.RunBegan):
            if self._earlier and _trained(self._earlier):
                same_run.require(event, self._earlier, self._folder)
            self.record = _begun(event, self._earlier, self._notices)
        elif self.record and (handler := self._handlers.get(type(event))):
            self.record = handler(self.record, event)
            is_due = event.time_s >= self._written_s + _EVERY_S
            if is_due or not isinstance(event, events.StepDone):
                self._write(event.time_s)

    def _data_opened(self, record: TrainingRecord, event: events.DataOpened) -> TrainingRecord:
        found = DataFacts(**{one.name: getattr(event, one.name) for one in fields(DataFacts)})
        for earlier in self._earlier.data if self._earlier and _trained(self._earlier) else ():
            if earlier.use == event.use:
                same_run.require_data(event, earlier, self._folder)
        return replace(_seen(record, event), data=(*record.data, found))

    def _init_done(self, record: TrainingRecord, event: events.InitDone) -> TrainingRecord:
        model = ModelFacts(**{one.name: getattr(event, one.name) for one in fields(ModelFacts)})
        peak = self._measured_before(record)
        if peak is None and self._peak:
            peak = self._peak(record.device, record.precision)
        return replace(_seen(record, event, peak_flops_per_s=peak), model=model)

    def _measured_before(self, record: TrainingRecord) -> float | None:
        """The peak of an earlier life on the same device: a restart shall not wait for it."""
        earlier = self._earlier
        if not earlier or any(getattr(earlier, name) != getattr(record, name) for name in _OF_PEAK):
            return None
        return next((life.peak_flops_per_s for life in earlier.lives if life.peak_flops_per_s), None)

    def _write(self, now_s: float) -> None:
        assert self.record
        self._written_s = now_s
        if self._earlier and self._earlier.has_ended and not self.record.lives[-1].steps:
            return  # started again after its end: nothing is added to a complete record
        self.record = with_figures(self.record)
        training_record.write(self._folder, self.record)


def with_figures(record: TrainingRecord) -> TrainingRecord:
    """The record with the figures of what it holds now."""
    found = figures.compute(
        record.lives,
        record.evaluations,
        record.model,
        target=record.target,
        evaluation_spacing=record.evaluation_samples,
        progress=(record.steps, record.samples),
    )
    return replace(record, figures=found)


def _begun(event: events.RunBegan, earlier: TrainingRecord | None, notices: tuple[str, ...]) -> TrainingRecord:
    life = Life(began_s=event.started_s, seen_s=event.time_s, devices=event.devices, nodes=event.nodes)
    lives = (*(_trained(earlier) if earlier else ()), life)
    return TrainingRecord(
        **{name: getattr(event, name) for name in _SAME},
        status="unfinished",
        notices=(*((OPEN,) if event.division == "open" else ()), *notices),
        machine=facts.facts(),
        lives=lives,
        evaluations=earlier.evaluations if earlier else (),
        figures=figures.compute(
            lives, (), None, target=event.target, evaluation_spacing=event.evaluation_samples, progress=(0, 0)
        ),
    )


def _trained(record: TrainingRecord) -> tuple[Life, ...]:
    """The lives that were not refused at their start."""
    return tuple(life for life in record.lives if life.training_began_s)


def _seen(record: TrainingRecord, event: Event, **changes: Any) -> TrainingRecord:
    *before, life = record.lives
    return replace(record, lives=(*before, replace(life, seen_s=event.time_s, **changes)))


def _resumed(record: TrainingRecord, event: events.Resumed) -> TrainingRecord:
    kept = tuple(one for one in record.evaluations if one.samples <= event.samples)
    return replace(_seen(record, event), evaluations=kept, steps=event.step, samples=event.samples)


def _step_done(record: TrainingRecord, event: events.StepDone) -> TrainingRecord:
    life = record.lives[-1]
    found = _seen(
        record,
        event,
        first_step=life.first_step or event.step,
        steps=life.steps + 1,
        samples=life.samples + event.step_samples,
        tokens=life.tokens + event.tokens,
        squared_lengths=life.squared_lengths + event.squared_lengths,
        step_s=life.step_s + event.seconds,
        computing_s=life.computing_s + event.computing_s,
        memory_bytes=max(life.memory_bytes, event.memory_bytes),
    )
    return replace(found, steps=event.step, samples=event.samples)


def _evaluation_done(record: TrainingRecord, event: events.EvaluationDone) -> TrainingRecord:
    found = EvaluationRecord(**{one.name: getattr(event, one.name) for one in fields(EvaluationRecord)})
    found = replace(found, values={name: value for name, value in found.values.items() if math.isfinite(value)})
    kept = tuple(one for one in record.evaluations if one.samples < event.samples)
    evaluations = (*kept, found) if math.isfinite(event.score) else kept
    seconds = record.lives[-1].evaluation_s + event.seconds
    return replace(_seen(record, event, evaluation_s=seconds), evaluations=evaluations)


def _checkpoint_written(record: TrainingRecord, event: events.CheckpointWritten) -> TrainingRecord:
    return _seen(record, event, checkpoint_s=record.lives[-1].checkpoint_s + event.seconds)
