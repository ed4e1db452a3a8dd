"""The progress of a training run on standard error: a live line on a terminal, otherwise a line every ten seconds.

What happens once (the start, evaluations, restarts, the end) gets a line of its own that stays.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import Progress, TextColumn
from rich.table import Column

from foundation import terminal
from foundation.people_numbers import clock, count, figure
from foundation.steps import state
from training.loop import events
from training.loop.events import Event

_EVERY_S = 10.0  # between two lines without a terminal
_REFRESH_S, _TICK_S = 0.25, 0.5  # between two updates of the live line: in training, in an evaluation
_MEMORY_S = 20.0  # of training, after which a step's speed counts for a third


@dataclass(frozen=True, kw_only=True)
class ProgressNow:
    """What a line shows. Times left are None while unknown; the end is at the latest: a target may come first."""

    step: int
    max_steps: int
    samples: int
    loss: float
    learning_rate: float
    tokens_per_s: float
    evaluation_in_s: float | None
    end_in_s: float | None


_WIDE = (
    "step {step:,} of {max_steps:,}, {samples:,} samples, loss {loss:.4g}, lr {learning_rate:.3g}, "
    "{tokens} tokens/s, evaluation in {evaluation}, end in {end}"
)
_MEDIUM = "{step:,}/{max_steps:,}, {samples:,} samples, loss {loss:.4g}, lr {learning_rate:.3g}, {tokens} tokens/s, " \
    "eval {evaluation}, end {end}"  # fmt: skip
_NARROW = "{step:,}/{max_steps:,} loss {loss:.4g} lr {learning_rate:.2g} {tokens} tok/s eval {evaluation} end {end}"


def line(now: ProgressNow, columns: int) -> str:
    """The longest form that fits into `columns`; the shortest, cut off, if none does."""
    words = {
        **vars(now),
        "tokens": _short(now.tokens_per_s),
        "evaluation": _left(now.evaluation_in_s),
        "end": _left(now.end_in_s),
    }
    forms = [form.format(**words) for form in (_WIDE, _MEDIUM, _NARROW)]
    return next((form for form in forms if len(form) <= columns), forms[-1][:columns])


def _short(value: float) -> str:
    """853, 12.3k, 4.56M."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g}{unit}" if value < 1000 * size else f"{value / size:.0f}{unit}"
    return f"{value:.0f}"


def _left(seconds: float | None) -> str:
    return "–" if seconds is None else clock(seconds)


class ProgressLine:
    """A listener that shows progress inside its `with` block."""

    def __init__(self, *, console: Console | None = None, now_s: Callable[[], float] = time.monotonic) -> None:
        self._console = console or terminal.console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.fields[text]}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
            console=self._console, transient=True, disable=not self._console.is_terminal, auto_refresh=False,
        )  # fmt: skip
        self._task = self._bar.add_task("training", text="")
        self._now_s, self._next_s = now_s, now_s() + (0.0 if self._console.is_terminal else _EVERY_S)
        self._speed = _Speed()
        self._began: events.RunBegan | None = None
        self._next_evaluation = 0  # samples
        self._evaluation_s = 0.0
        self._evaluation: _Evaluation | None = None  # the one under way
        self._handlers: Mapping[type[Event], Callable[[Any], None]] = {
            events.RunBegan: self._run_began,
            events.BlockBegan: self._block_began,
            events.StepDone: self._step_done,
            events.EvaluationBegan: self._evaluation_began,
            events.EvaluationDone: self._evaluation_done,
            events.CheckpointRefused: lambda event: self._say(f"passed over {event.path}: {event.reason}"),
            events.Resumed: lambda event: self._say(
                f"goes on from {event.path}, step {event.step:,}, {event.samples:,} samples"
            ),
            events.TargetReached: lambda event: self._say(
                f"target {event.target:g} reached after {event.samples:,} samples: {event.score:.4f}"
            ),
        }

    def __enter__(self) -> ProgressLine:
        self._bar.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._end_ticks()  # of an evaluation that failed
        self._bar.stop()

    def __call__(self, event: Event) -> None:
        if handler := self._handlers.get(type(event)):
            handler(event)

    def _say(self, text: str) -> None:
        """A line that stays, above the live one."""
        self._console.print(text, soft_wrap=not self._console.is_terminal)

    def _show(self, text: str) -> None:
        """The live line; nothing without a terminal."""
        self._bar.update(self._task, text=text)
        self._bar.refresh()

    def _run_began(self, event: events.RunBegan) -> None:
        self._began = event
        self._say(opening(event))

    def _block_began(self, event: events.BlockBegan) -> None:
        self._next_evaluation = event.samples + event.block_samples

    def _step_done(self, event: events.StepDone) -> None:
        self._speed.add(event)
        if self._now_s() >= self._next_s:
            self._next_s = self._now_s() + (_REFRESH_S if self._console.is_terminal else _EVERY_S)
            if self._console.is_terminal:
                self._show(line(self._now(event), self._console.width - 1))
            else:
                self._say(line(self._now(event), 1000))

    def _now(self, event: events.StepDone) -> ProgressNow:
        assert self._began
        rate, left = self._speed.samples_per_s, max(self._began.max_steps - event.step, 0) * event.step_samples
        spacing = self._began.evaluation_samples or left + 1
        return ProgressNow(
            step=event.step,
            max_steps=self._began.max_steps,
            samples=event.samples,
            loss=event.loss,
            learning_rate=event.learning_rate,
            tokens_per_s=self._speed.tokens_per_s,
            evaluation_in_s=max(self._next_evaluation - event.samples, 0) / rate if rate else None,
            end_in_s=left / rate + math.ceil(left / spacing) * self._evaluation_s if rate else None,
        )

    def _evaluation_began(self, event: events.EvaluationBegan) -> None:
        self._evaluation = _Evaluation(f"evaluating after {event.samples:,} samples", self._now_s(), self.tick)
        self._show(self._evaluation.what)

    def tick(self) -> None:
        """Show how long the evaluation has taken; without a terminal, now and then."""
        if self._evaluation is None:
            return
        now_s = self._now_s()
        text = state(self._evaluation.what, "", now_s - self._evaluation.start_s, self._evaluation_s or None)
        if self._console.is_terminal:
            self._show(text)
        elif now_s >= self._evaluation.next_s:
            self._evaluation.next_s = now_s + _EVERY_S
            self._say(text)

    def _end_ticks(self) -> None:
        if self._evaluation is not None:
            self._evaluation.end()
            self._evaluation = None

    def _evaluation_done(self, event: events.EvaluationDone) -> None:
        self._end_ticks()
        self._evaluation_s = event.seconds
        self._show("")
        (name, score), *others = event.values.items()
        target = self._began.target if self._began else None
        goal = "" if target is None else f" of {target:g}"
        rest = "".join(f", {other} {value:.4f}" for other, value in others)
        self._say(f"{event.samples:,} samples: {name} {score:.4f}{goal}{rest}; {figure(event.seconds)} s")


class _Evaluation:
    """An evaluation under way, from which no event comes: a thread ticks."""

    def __init__(self, what: str, start_s: float, tick: Callable[[], None]) -> None:
        self.what, self.start_s, self.next_s = what, start_s, start_s + _EVERY_S
        self._tick, self._over = tick, threading.Event()
        self._thread = threading.Thread(target=self._run, name="evaluation", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.wait(_TICK_S):
            self._tick()

    def end(self) -> None:
        """No tick comes any more."""
        self._over.set()
        self._thread.join()


class _Speed:
    """Samples and tokens a second, of the last steps more than of earlier ones."""

    def __init__(self) -> None:
        self._samples = self._tokens = self._seconds = 0.0

    def add(self, event: events.StepDone) -> None:
        keep = math.exp(-event.seconds / _MEMORY_S)
        self._samples = keep * self._samples + event.step_samples
        self._tokens = keep * self._tokens + event.tokens
        self._seconds = keep * self._seconds + event.seconds

    @property
    def samples_per_s(self) -> float:
        return self._samples / self._seconds if self._seconds else 0.0

    @property
    def tokens_per_s(self) -> float:
        return self._tokens / self._seconds if self._seconds else 0.0


def opening(event: events.RunBegan) -> str:
    """The run in three lines, and a remark on the machine if there is one."""
    known = event.hyperparameters
    goal = "" if event.target is None else f", or a score of {event.target:g}"
    accumulated = f" in {known.gradient_accumulation_steps} parts" * (known.gradient_accumulation_steps > 1)
    where = f"{count(event.nodes, 'node')}, {count(event.devices, 'device')}: {event.device_name}"
    every = count(event.evaluation_samples, "sample")
    return "\n".join(
        [
            f"{event.task}, {event.division} division, seed {event.seed}: {where}, {event.parallel}, {event.precision}",
            f"{count(known.global_batch_size, 'sample')} a step{accumulated}, {known.optimizer}, lr "
            f"{known.learning_rate:g}, warm-up {count(known.warmup_steps, 'step')}",
            f"to {count(event.max_steps, 'step')}{goal}; an evaluation every {every}",
            *filter(None, [event.remark]),
        ]
    )
