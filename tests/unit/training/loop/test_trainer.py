"""The loop on a toy task in one process: its events, resumption to equal bits, faults and ends."""

from __future__ import annotations

import os
import resource
import signal
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.distributed.checkpoint import state_dict_saver
from torch.distributed.checkpoint.api import CheckpointException
from toy_task import ToyTask

from sut.errors import RunFailedError, UsageError
from training.loop import checkpoint_record, events, loss_scale
from training.loop.events import Event
from training.loop.plan import Plan, Precision
from training.loop.steps import Stepper
from training.loop.trainer import train
from training.loop.world import ALONE
from training.optimizers.lamb import Lamb, parameter_groups
from training.optimizers.schedule import Schedule

PLAN = Plan(
    seed=3,
    max_steps=8,
    make_optimizer=lambda network: Lamb(parameter_groups(network, 0.01)),
    learning_rate=Schedule(base=0.03, warmup_steps=2, max_steps=20),
    max_tokens_per_micro_batch=40,
    evaluate_every_samples=40,
    checkpoint_every_steps=3,
)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def weights(task: ToyTask) -> dict[str, Tensor]:
    return {name: one.detach().clone() for name, one in task.network.named_parameters()}


def equal(one: ToyTask, other: ToyTask) -> bool:
    return all(torch.equal(a, b) for a, b in zip(weights(one).values(), weights(other).values(), strict=True))


def names(found: list[Event], *without: str) -> list[str]:
    return [name for event in found if (name := type(event).__name__) not in without]


def test_events_come_in_order_and_count_all_samples(tmp_path: Path) -> None:
    found: list[Event] = []
    assert (
        train(ToyTask(), replace(PLAN, max_steps=4, checkpoint_every_steps=None), tmp_path, [found.append]) == "reached"
    )
    assert names(found) == [
        *("InitDone", "TrainingBegan", "EvaluationBegan", "EvaluationDone"),
        *("BlockBegan", "StepDone", "StepDone", "StepDone", "StepDone", "BlockEnded"),
        *("EvaluationBegan", "EvaluationDone", "CheckpointWritten", "RunEnded"),
    ]
    steps = [event for event in found if isinstance(event, events.StepDone)]
    assert [event.step for event in steps] == [1, 2, 3, 4]
    assert [event.samples for event in steps] == [12, 24, 36, 48]
    task = ToyTask()
    assert [event.tokens for event in steps] == [int(task.draw(step).lengths.sum()) for step in (1, 2, 3, 4)]
    assert all(event.computing_s <= event.seconds for event in steps)
    assert [event.parts["half"] for event in steps] == pytest.approx([event.loss / 2 for event in steps])
    assert [event.samples for event in found if isinstance(event, events.EvaluationDone)] == [0, 48]
    assert (tmp_path / "model.json").exists()


@pytest.mark.parametrize(
    ("every", "start", "expected"), [(24, 0, [0, 24, 48, 72, 96]), (40, 60, [0, 84, 96]), (None, 0, [0, 96])]
)
def test_evaluations_are_due_by_samples(tmp_path: Path, every: int | None, start: int, expected: list[int]) -> None:
    found: list[Event] = []
    plan = replace(PLAN, evaluate_every_samples=every, evaluate_from_samples=start, checkpoint_every_steps=None)
    train(ToyTask(), plan, tmp_path, [found.append])
    assert [event.samples for event in found if isinstance(event, events.EvaluationDone)] == expected


@pytest.mark.parametrize("stopped_at", [3, 4, 6])
def test_a_resumed_run_ends_with_the_same_weights(tmp_path: Path, stopped_at: int) -> None:
    whole, first, second = (ToyTask(dropout=0.3) for _ in range(3))
    train(whole, PLAN, tmp_path / "whole")
    train(first, replace(PLAN, max_steps=stopped_at), tmp_path / "parts")
    found: list[Event] = []
    train(second, PLAN, tmp_path / "parts", [found.append])
    assert equal(whole, second) and not equal(whole, first)
    assert int(second.steps) == 8
    assert [event.step for event in found if isinstance(event, events.Resumed)] == [stopped_at]
    assert first.seen + second.seen == whole.seen


@pytest.mark.parametrize("plan", [replace(PLAN, max_tokens_per_micro_batch=1000), replace(PLAN, micro_batches=3)])
def test_micro_batches_add_up_to_the_step(tmp_path: Path, plan: Plan) -> None:
    one, other = ToyTask(), ToyTask()
    train(one, replace(PLAN, max_tokens_per_micro_batch=20), tmp_path / "one")
    train(other, plan, tmp_path / "other")
    for a, b in zip(weights(one).values(), weights(other).values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_trains(tmp_path: Path, precision: Precision) -> None:
    found: list[Event] = []
    train(
        ToyTask(),
        replace(PLAN, precision=precision, max_steps=30, checkpoint_every_steps=None),
        tmp_path,
        [found.append],
    )
    done = [event for event in found if isinstance(event, events.StepDone)]
    assert sum(event.loss for event in done[-5:]) < sum(event.loss for event in done[:5])
    full = Stepper(ToyTask(), PLAN, ALONE, loss_scale.of("fp32")).step(1, 0, interrupted=False)
    norm = next(event.gradient_norm for event in done if event.gradient_norm is not None)
    assert norm == pytest.approx(full.gradient_norm, rel=0.1)  # fp16's without its loss scale


def test_the_loss_scale_doubles_after_good_steps_and_halves_at_an_overflow() -> None:
    scale = loss_scale.of("fp16")
    for _ in range(2000):
        scale.passed()
    assert scale.value == 2 * loss_scale.FIRST
    scale.overflowed("step 1")
    assert (scale.value, scale.good_steps, scale.skipped) == (loss_scale.FIRST, 0, 1)


def test_a_target_ends_the_run(tmp_path: Path) -> None:
    found: list[Event] = []
    assert train(ToyTask(), replace(PLAN, target=0.15, max_steps=100), tmp_path, [found.append]) == "reached"
    reached = next(event for event in found if isinstance(event, events.TargetReached))
    assert reached.score >= 0.15 and 0 < reached.step < 100
    assert train(ToyTask(), replace(PLAN, target=0.15, max_steps=100), tmp_path) == "reached"  # the same run again
    assert train(ToyTask(), replace(PLAN, target=0.99), tmp_path / "b") == "missed"
    assert train(ToyTask(), replace(PLAN, max_samples=24), tmp_path / "c") == "reached"


def test_a_target_needs_training(tmp_path: Path) -> None:
    """MLPerf's checker refuses a log without a block."""
    found: list[Event] = []
    assert train(ToyTask(), replace(PLAN, target=0.0), tmp_path, [found.append]) == "reached"
    assert next(event.step for event in found if isinstance(event, events.TargetReached)) > 0


def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path: Path) -> None:
    whole, again = ToyTask(dropout=0.3), ToyTask(dropout=0.3)
    train(whole, PLAN, tmp_path)
    newest, before, *_ = checkpoint_record.newest_first(tmp_path)
    data = newest / "__0_0.distcp"
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)
    found: list[Event] = []
    train(again, PLAN, tmp_path, [found.append])
    refused = next(event for event in found if isinstance(event, events.CheckpointRefused))
    assert refused.path == newest and "__0_0.distcp is damaged: expected sha256" in refused.reason
    assert next(event.path for event in found if isinstance(event, events.Resumed)) == before
    assert equal(whole, again)
    for path in checkpoint_record.newest_first(tmp_path):
        (path / "checkpoint.json").write_text("{")
    with pytest.raises(RunFailedError, match=r"expected a whole checkpoint in .*checkpoints, found damaged ones"):
        train(ToyTask(), PLAN, tmp_path)


def test_the_newest_checkpoints_and_the_best_are_kept(tmp_path: Path) -> None:
    found: list[Event] = []
    train(ToyTask(), replace(PLAN, max_steps=24, kept=2, checkpoint_every_steps=2), tmp_path, [found.append])
    done = [event for event in found if isinstance(event, events.EvaluationDone) and event.step]
    best = max(done, key=lambda event: (event.score, event.step)).step
    assert [path.name for path in checkpoint_record.newest_first(tmp_path)] == [
        f"step-{step:08}" for step in sorted({24, 22, best}, reverse=True)
    ]


@pytest.mark.parametrize(
    ("task", "plan", "named"),
    [(ToyTask(), replace(PLAN, seed=4), "seed 4"), (ToyTask(), PLAN, "network")],
)
def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path, task: ToyTask, plan: Plan, named: str) -> None:
    train(ToyTask(), replace(PLAN, max_steps=2), tmp_path)
    if named == "network":
        task.network.extra = torch.nn.Linear(2, 2)
    with pytest.raises(UsageError, match=f"expected a checkpoint with {named}.*Type: another --output"):
        train(task, plan, tmp_path)


def test_a_loss_that_is_no_number_ends_the_run(tmp_path: Path) -> None:
    found: list[Event] = []
    task = ToyTask(broken_at=5)
    with pytest.raises(RunFailedError, match="expected a finite loss, found nan at step 5, samples 49 to 60") as error:
        train(task, PLAN, tmp_path, [found.append])
    assert "step-00000004" in str(error.value) and error.value.exit_code == 3
    assert isinstance(found[-1], events.RunEnded) and found[-1].status == "failed"
    assert [path.name for path in checkpoint_record.newest_first(tmp_path)] == ["step-00000004", "step-00000003"]


def test_a_full_disk_keeps_the_checkpoint_before(tmp_path: Path) -> None:
    def fill(event: Event) -> None:
        if isinstance(event, events.StepDone) and event.step == 5:
            resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises(
            RunFailedError, match=r"expected to write a checkpoint to .*step-00000006, found: File too large"
        ):
            train(ToyTask(), PLAN, tmp_path, [fill])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir() if path.name.startswith(".")] == []
    found: list[Event] = []
    train(ToyTask(), PLAN, tmp_path, [found.append])
    assert next(event.step for event in found if isinstance(event, events.Resumed)) == 4


def test_an_archive_that_a_full_disk_cuts_short_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's writer hides ENOSPC of a file that is small enough for a buffer; no limit of this process brings it."""

    def cut(*_: object, **__: object) -> None:
        error = RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 704 vs 598")
        raise CheckpointException("", {0: (error, traceback.StackSummary())})

    monkeypatch.setattr(state_dict_saver, "save", cut)
    with pytest.raises(RunFailedError, match=r"step-00000003, found: a file was cut short: the disk is full, or fails"):
        train(ToyTask(), PLAN, tmp_path)
    assert not list((tmp_path / "checkpoints").iterdir())


def test_a_signal_ends_the_run_after_a_checkpoint(tmp_path: Path) -> None:
    def interrupt(event: Event) -> None:
        if isinstance(event, events.StepDone) and event.step == 5:
            os.kill(os.getpid(), signal.SIGTERM)

    found: list[Event] = []
    whole, again = ToyTask(dropout=0.3), ToyTask(dropout=0.3)
    assert train(ToyTask(dropout=0.3), PLAN, tmp_path, [interrupt, found.append]) == "interrupted"
    assert isinstance(found[-1], events.RunEnded) and found[-1].reason == "signal SIGTERM"
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    train(whole, PLAN, tmp_path / "whole")
    train(again, PLAN, tmp_path)
    assert equal(whole, again)
