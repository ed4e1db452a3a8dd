"""The training loop: blocks of steps between evaluations, checkpoints, until the target or the last step.

    status = train(task, plan, folder, listeners, world)

It goes on from the newest whole checkpoint in `folder`, to the same weights that an uninterrupted run has.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from sut.errors import UsageError
from training.loop import checkpoint_record, checkpoints, events, faults, loss_scale, parallel, steps
from training.loop.checkpoint_record import Checkpoint
from training.loop.events import Event, Listener, Status
from training.loop.interrupts import Interrupts, noticed
from training.loop.plan import Plan
from training.loop.steps import Stepper
from training.loop.task import Task
from training.loop.world import ALONE, World


def train(task: Task, plan: Plan, folder: Path, listeners: Sequence[Listener] = (), world: World = ALONE) -> Status:
    """Train until the target, the last step, or a signal; goes on from the newest whole checkpoint in `folder`.

    Args:
        folder: for checkpoints and the model, one for all ranks.
        listeners: called on the first rank; RunBegan is the caller's to send, everything else comes from here.

    Returns:
        "interrupted" after Ctrl-C or a request to end: a checkpoint was written.

    Raises:
        RunFailedError: NaN or infinity, no memory or disk left, another process lost. The last checkpoint stays.
        UsageError: the checkpoint is of another run.
    """
    if plan.clip_before_reduction and plan.parallel == "fsdp":
        raise UsageError("expected gradients clipped after the reduction with fsdp. Type: --set clip=after")
    with noticed() as interrupts:
        trainer = _Trainer(task, plan, folder, listeners if world.is_first else (), world, interrupts)
        try:
            return trainer.run()
        except Exception as error:
            known = faults.explained(error, trainer.step, trainer.last_checkpoint, plan.less_memory)
            trainer.end("failed", str(known))
            if known is error:
                raise
            raise known from error


class _Trainer:
    """A run in progress."""

    def __init__(
        self, task: Task, plan: Plan, folder: Path, listeners: Sequence[Listener], world: World, interrupts: Interrupts
    ) -> None:
        self.task, self.plan, self.folder, self.world = task, plan, folder, world
        self.listeners, self.interrupts = listeners, interrupts
        self.step = self.samples = 0
        self.score: float | None = None  # of the evaluation after this step
        self.best: float | None = None
        self.scale = loss_scale.of(plan.precision)
        self.last_checkpoint: Path | None = None
        self.last_s = time.perf_counter()  # when the step before ended

    def emit(self, event: Event) -> None:
        for listener in self.listeners:
            listener(event)

    def run(self) -> Status:
        self.stepper = Stepper(self.task, self.plan, self.world, self.scale)
        self._init_done()
        self.emit(events.TrainingBegan())
        self._resume()
        if self.step == 0:
            self._evaluate()
            self.score = None  # a target is reached by training: MLPerf's checker refuses a log without a block
        self.last_s = time.perf_counter()
        while not self._is_over:
            if self._block():
                self._checkpoint()
                return self.end("interrupted", f"signal {self.interrupts.name}")
            self._evaluate()
            if self._is_over or self.plan.checkpoint_every_steps:
                self._checkpoint()
        return self._finish()

    @property
    def _is_over(self) -> bool:
        most = self.plan.max_samples
        return self._is_reached or self.step >= self.plan.max_steps or (most is not None and self.samples >= most)

    @property
    def _is_reached(self) -> bool:
        return self.plan.target is not None and self.score is not None and self.score >= self.plan.target

    def _init_done(self) -> None:
        config = self.task.config
        self.emit(
            events.InitDone(
                parameters=sum(one.numel() for one in self.task.network.parameters()),
                encoder_parameters=config.operations_per_token // 2,
                layers=config.num_hidden_layers,
                hidden_size=config.hidden_size,
            )
        )

    def _block(self) -> bool:
        """Train until an evaluation is due; True: a signal came before."""
        began, next_evaluation = self.samples, self._next_evaluation()
        self.emit(events.BlockBegan(step=self.step, samples=began, block_samples=next_evaluation - began))
        while True:
            was_interrupted = self._one_step()
            if was_interrupted or self._is_over or self.samples >= next_evaluation:
                break
            if self.plan.checkpoint_every_steps and self.step % self.plan.checkpoint_every_steps == 0:
                self._checkpoint()
        self.emit(events.BlockEnded(step=self.step, samples=self.samples, block_samples=self.samples - began))
        return was_interrupted

    def _next_evaluation(self) -> int:
        """The number of samples after which an evaluation is due, or that of the last step."""
        of_step = len(self.task.draw(self.step + 1))
        last = self.samples + of_step * (self.plan.max_steps - self.step)
        last = min(last, self.plan.max_samples or last)
        every = self.plan.evaluate_every_samples
        if every is None:
            return last
        due = max(self.samples // every + 1, -(-self.plan.evaluate_from_samples // every)) * every
        return min(due, last)

    def _one_step(self) -> bool:
        """Train one step; True: a signal came to one of the ranks."""
        result = self.stepper.step(self.step + 1, self.samples, interrupted=self.interrupts.signal is not None)
        self.step, self.samples, self.score = self.step + 1, self.samples + len(result.drawn), None
        self.task.after_step(self.step, {"loss": result.loss, **result.parts})
        lengths, now_s = result.drawn.lengths.astype("int64"), time.perf_counter()
        self.emit(
            events.StepDone(
                step=self.step,
                samples=self.samples,
                loss=result.loss,
                parts=result.parts,
                learning_rate=result.learning_rate,
                gradient_norm=result.gradient_norm,
                seconds=now_s - self.last_s,
                computing_s=result.computing_s,
                step_samples=len(lengths),
                tokens=int(lengths.sum()),
                squared_lengths=int((lengths**2).sum()),
                memory_bytes=steps.peak_memory_bytes(self.world),
            )
        )
        self.last_s = now_s
        return result.was_interrupted

    def _evaluate(self) -> None:
        self.emit(events.EvaluationBegan(step=self.step, samples=self.samples))
        start_s = time.perf_counter()
        found = self.stepper.evaluate()
        self.score, self.last_s = found.score, time.perf_counter()
        self.best = max(found.score, self.best if self.best is not None else found.score)
        self.emit(
            events.EvaluationDone(
                step=self.step,
                samples=self.samples,
                values=found.values,
                evaluated_samples=found.samples,
                seconds=self.last_s - start_s,
            )
        )

    def _tensors(self) -> tuple[dict[str, Tensor], dict[str, object]]:
        """All tensors of the run, and the task's other values."""
        state = self.task.state()
        values = {name: value for name, value in state.items() if not isinstance(value, Tensor)}
        return checkpoints.tensors_of(self.task.network, self.stepper.optimizer, state), values

    def _checkpoint(self) -> None:
        start_s = time.perf_counter()
        tensors, values = self._tensors()
        record = Checkpoint(
            step=self.step,
            samples=self.samples,
            seed=self.plan.seed,
            score=self.score,
            best=self.best,
            loss_scale=self.scale.value,
            good_steps=self.scale.good_steps,
            skipped=self.scale.skipped,
            network=checkpoints.signature(self.task.network),
            task=values,
        )
        path = checkpoints.write(self.folder, record, tensors, self.world, self.plan.kept)
        self.last_checkpoint, self.last_s = path, time.perf_counter()
        self.emit(
            events.CheckpointWritten(
                path=path,
                step=self.step,
                samples=self.samples,
                seconds=self.last_s - start_s,
                size_bytes=sum(one.stat().st_size for one in path.iterdir()),
                is_best=self.score is not None and self.score == self.best,
            )
        )

    def _resume(self) -> None:
        """Go on from the newest whole checkpoint, if there is one."""
        path, refused = checkpoints.newest_whole(self.folder, self.world)
        for damaged, reason in refused:
            self.emit(events.CheckpointRefused(path=damaged, reason=reason))
        if path is None:
            return
        found = checkpoint_record.read_record(path)
        expected = {"seed": self.plan.seed, "network": checkpoints.signature(self.task.network)}
        checkpoint_record.require_same(path, found, expected)
        checkpoints.allocate(self.stepper.optimizer)
        tensors, _ = self._tensors()
        checkpoints.restore(path, tensors, self.world)
        of_task = {name.removeprefix("task."): one for name, one in tensors.items() if name.startswith("task.")}
        self.task.load_state({**found.task, **of_task})
        self.step, self.samples, self.score, self.best = found.step, found.samples, found.score, found.best
        self.scale.value, self.scale.good_steps, self.scale.skipped = found.loss_scale, found.good_steps, found.skipped
        self.last_checkpoint = path
        self.emit(events.Resumed(path=path, step=self.step, samples=self.samples))

    def _finish(self) -> Status:
        if self.score is None:  # resumed after the last step
            self._evaluate()
        if self._is_reached and self.score is not None and self.plan.target is not None:
            self.emit(
                events.TargetReached(step=self.step, samples=self.samples, score=self.score, target=self.plan.target)
            )
        weights = parallel.whole_weights(self.task.network)
        if self.world.is_first:
            self.task.write_model(self.folder, weights)
        return self.end("reached" if self._is_reached or self.plan.target is None else "missed")

    def end(self, status: Status, reason: str | None = None) -> Status:
        self.emit(events.RunEnded(status=status, step=self.step, samples=self.samples, reason=reason))
        return status
