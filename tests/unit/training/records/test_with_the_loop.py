"""The loop's own events, over a fault and the life after it: what a run leaves is whole and accepted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import training_events as made
from mlperf_logging.compliance_checker import mlp_compliance
from toy_task import ToyTask

from sut.errors import RunFailedError
from training.loop.events import Event, StepDone
from training.loop.plan import Plan
from training.loop.trainer import train
from training.optimizers.lamb import Lamb, parameter_groups
from training.records import mllog_file, steps_table, training_record
from training.records.listening import Listening, listening

PLAN = Plan(
    seed=3,
    max_steps=8,
    make_optimizer=lambda network: Lamb(parameter_groups(network, 0.01)),
    learning_rate=lambda step: 0.01,
    max_tokens_per_micro_batch=20,  # so that a step has several micro-batches
    evaluate_every_samples=40,
    checkpoint_every_steps=3,
)
LISTENING = Listening(measure_peak=False, plot=False)


def one_life(folder: Path, plan: Plan, fails_at: int = 0) -> None:
    def fail(event: Event) -> None:
        if isinstance(event, StepDone) and event.step == fails_at:
            raise MemoryError("none left")

    with listening(folder, LISTENING) as listeners:
        for listener in listeners:
            listener(made.began(division="open", target=None, evaluation_samples=40, max_steps=8))
        train(ToyTask(), plan, folder, [*listeners, fail])


@pytest.mark.parametrize(("fails_at", "repeated"), [(2, 2), (5, 1)])  # before the first checkpoint, and after step 4's
def test_a_run_with_a_fault_goes_on_in_its_files(tmp_path: Path, fails_at: int, repeated: int) -> None:
    with pytest.raises(RunFailedError):
        one_life(tmp_path, PLAN, fails_at)
    failed = training_record.read(tmp_path)
    assert (failed.status, failed.steps) == ("failed", fails_at)
    assert "memory" in str(failed.reason)
    one_life(tmp_path, PLAN)
    found = training_record.read(tmp_path)
    assert (found.status, found.steps, found.samples, found.figures.restarts) == ("reached", 8, 96, 1)
    assert [one.samples for one in found.evaluations] == [0, 48, 84, 96]
    assert sum(life.steps for life in found.lives) == 8 + repeated
    assert found.figures.samples_again == 12 * repeated
    assert 0 < found.figures.computing_s <= found.figures.train_no_evaluation_s < found.figures.train_s
    assert [row.step for row in steps_table.read(tmp_path)] == list(range(1, 9))
    checker = mlp_compliance.make_checker("training", "5.0.0", quiet=False, werror=True)
    assert mlp_compliance.main(str(tmp_path / mllog_file.NAME), "training_5.0.0/common.yaml", checker)[0]


def test_a_complete_run_that_is_typed_again_changes_nothing(tmp_path: Path) -> None:
    one_life(tmp_path, replace(PLAN, max_steps=4))
    before = {name: (tmp_path / name).read_bytes() for name in ("run.json", mllog_file.NAME, steps_table.NAME)}
    one_life(tmp_path, replace(PLAN, max_steps=4))
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
