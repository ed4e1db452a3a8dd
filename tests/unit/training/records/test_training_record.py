"""run.json and the figures of a training run, also over restarts. FlagPerf's defects have a test each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import training_events as made

from sut.errors import UsageError
from sut.record import run_record
from training.loop.events import DataOpened, EvaluationDone, Event, Resumed, RunEnded, TrainingBegan
from training.records import mllog_file, peak, steps_table, training_record
from training.records.mllog import ComplianceLog
from training.records.record_writer import RecordWriter
from training.records.steps_table import StepRow, StepsTable
from training.records.training_record import TrainingRecord

PEAK = 1e12
BLOCKS = len(made.SCORES) - 1
STEPS = BLOCKS * made.STEPS_OF_BLOCK
SAMPLES = BLOCKS * made.EVERY
STEP_S = STEPS * made.SECONDS_OF_STEP


def recorded(folder: Path, happened: Sequence[Event], **options: Any) -> TrainingRecord:
    folder.mkdir(exist_ok=True)
    made.send(happened, RecordWriter(folder, **options), StepsTable(folder))
    return training_record.read(folder)


def test_the_record_holds_what_happened(tmp_path: Path) -> None:
    found = recorded(tmp_path, made.whole(), notices=("a demo",))
    assert (found.status, found.seed, found.shape) == ("reached", 1, "1x8")
    assert (found.notices, found.data[0].sha256) == (("a demo",), "ab" * 32)
    assert [one.score for one in found.evaluations] == list(made.SCORES)
    assert (found.steps, found.samples) == (STEPS, SAMPLES)


def test_an_open_run_is_marked(tmp_path: Path) -> None:
    assert "open division" in recorded(tmp_path, made.whole(division="open")).notices[0]


def test_times_are_told_apart(tmp_path: Path) -> None:
    figures = recorded(tmp_path, made.whole()).figures
    evaluations_s = 2.0 * len(made.SCORES)
    assert figures.train_no_evaluation_s == pytest.approx(STEP_S)
    assert figures.train_s == pytest.approx(STEP_S + evaluations_s + 0.5)
    assert figures.e2e_s == pytest.approx(figures.train_s + 10)
    assert (figures.evaluation_s, figures.checkpoint_s) == (evaluations_s, 0.25)


def test_computing_is_timed_with_the_device_waited_for(tmp_path: Path) -> None:
    """FlagPerf stops its clock when the work is launched. `computing_s` comes from the loop, which waits first."""
    figures = recorded(tmp_path, made.whole()).figures
    assert figures.computing_s == pytest.approx(STEPS * made.COMPUTING_S)
    assert figures.samples_per_s_computing == pytest.approx(SAMPLES / figures.computing_s)
    assert figures.samples_per_s_no_evaluation == pytest.approx(SAMPLES / STEP_S)


def test_all_steps_count(tmp_path: Path) -> None:
    """FlagPerf counts the samples of one step too few."""
    found = recorded(tmp_path, made.whole((0.1, 0.8)))
    assert found.steps == found.figures.steps == found.lives[0].steps == made.STEPS_OF_BLOCK
    assert found.samples == found.figures.samples == found.lives[0].samples == made.EVERY


def test_a_step_is_an_optimizer_step_and_not_a_micro_batch(tmp_path: Path) -> None:
    """FlagPerf counts micro-batches where gradients are accumulated."""
    many = replace(made.LAMB, gradient_accumulation_steps=8)
    assert recorded(tmp_path, made.whole(hyperparameters=many)).figures.steps == STEPS


@pytest.mark.parametrize("devices", [1, 8])
def test_the_samples_of_all_ranks_count(tmp_path: Path, devices: int) -> None:
    """FlagPerf's batch is that of one rank."""
    assert recorded(tmp_path, made.whole(devices=devices)).figures.samples == SAMPLES


def test_the_target_is_known_at_an_evaluation_alone_and_the_spacing_stands_next_to_it(tmp_path: Path) -> None:
    """FlagPerf's 25,000 steps are two evaluation intervals, whatever the world size."""
    figures = recorded(tmp_path, made.whole()).figures
    assert (figures.reached, figures.samples_to_target, figures.steps_to_target) == (True, SAMPLES, STEPS)
    assert figures.evaluation_spacing == made.EVERY
    assert figures.seconds_to_target == pytest.approx(figures.train_s - 0.5)


@pytest.mark.parametrize(("target", "reached"), [(0.9, False), (None, None)])
def test_a_target_that_was_not_reached_has_no_samples(
    tmp_path: Path, target: float | None, reached: bool | None
) -> None:
    figures = recorded(tmp_path, made.whole((0.1, 0.2), target=target)).figures
    assert (figures.reached, figures.samples_to_target) == (reached, None)


@pytest.mark.parametrize("status", ["failed", "interrupted"])
def test_a_crash_is_recorded_with_its_reason(tmp_path: Path, status: Any) -> None:
    """FlagPerf takes a crash of any rank for a success."""
    ended = RunEnded(time_s=made.BEGAN_S + 99, status=status, step=3, samples=300, reason="loss is NaN")
    found = recorded(tmp_path, [*made.whole()[:-1], ended])
    assert (found.status, found.reason, found.has_ended) == (status, "loss is NaN", False)


def test_a_killed_run_stays_unfinished(tmp_path: Path) -> None:
    assert recorded(tmp_path, made.whole()[:-1]).status == "unfinished"


def test_the_share_of_the_peak(tmp_path: Path) -> None:
    figures = recorded(tmp_path, made.whole(devices=8), peak=lambda device, precision: PEAK).figures
    assert figures.peak_flops_per_s == PEAK
    done = 6 * 302_000_000 * made.TOKENS
    assert figures.mfu == pytest.approx(done / (made.SECONDS_OF_STEP * 8 * PEAK))
    attention = 294_912 * made.SQUARED  # 12·24·1024 FLOP for each L²: BERT-Large, forward and backward
    assert figures.mfu_with_attention == pytest.approx((done + attention) / (made.SECONDS_OF_STEP * 8 * PEAK))


@pytest.mark.parametrize(("changes", "peak"), [({}, PEAK), ({"threads": 2}, 2 * PEAK)])
def test_a_restart_does_not_wait_for_a_known_peak(tmp_path: Path, changes: dict[str, Any], peak: float) -> None:
    recorded(tmp_path, made.whole()[:-1], peak=lambda device, precision: PEAK)
    found = recorded(tmp_path, made.start(**changes), peak=lambda device, precision: 2 * PEAK)
    assert [life.peak_flops_per_s for life in found.lives] == [PEAK, peak]


def test_without_a_measured_peak_there_is_no_share_of_it(tmp_path: Path) -> None:
    assert recorded(tmp_path, made.whole()).figures.mfu is None


def test_a_run_that_was_killed_goes_on_in_its_record(tmp_path: Path) -> None:
    first = made.whole((0.1, 0.2, 0.3), target=0.9, every=500)[:-4]
    before = recorded(tmp_path, first)
    later = [
        *made.start(devices=4, target=0.9, time_s=before.lives[0].seen_s + 90, started_s=before.lives[0].seen_s + 60)[
            :-1
        ],
        TrainingBegan(time_s=before.lives[0].seen_s + 100),
        Resumed(time_s=before.lives[0].seen_s + 101, path=tmp_path, step=5, samples=500),
        *made.blocks((0.3, 0.9), target=0.9, every=500, first=500, at_s=before.lives[0].seen_s - made.BEGAN_S + 100),
    ]
    found = recorded(tmp_path, later)
    assert [life.devices for life in found.lives] == [8, 4]
    assert found.figures.restarts == 1
    assert found.figures.interrupted_s == pytest.approx(100)
    assert [one.samples for one in found.evaluations] == [0, 500, 1000, 1500]
    assert (found.figures.steps, found.figures.samples) == (15, 1500)
    assert found.lives[1].first_step == 6
    rate = found.figures.samples_per_s_no_evaluation
    assert rate == pytest.approx(100 / made.SECONDS_OF_STEP)  # what was trained twice took its time twice
    assert [row.step for row in steps_table.read(tmp_path)] == list(range(1, 16))


def test_evaluations_after_the_checkpoint_that_a_run_goes_on_from_are_off_the_record(tmp_path: Path) -> None:
    before = recorded(tmp_path, made.whole((0.1, 0.2, 0.3, 0.4), every=500)[:-4])
    assert [one.samples for one in before.evaluations] == [0, 500, 1000]
    found = recorded(tmp_path, [*made.start(), Resumed(path=tmp_path, step=7, samples=700)])
    assert ([one.samples for one in found.evaluations], found.samples) == ([0, 500], 700)


def test_a_complete_run_that_is_started_again_keeps_its_record(tmp_path: Path) -> None:
    before = recorded(tmp_path, made.whole())
    ended = RunEnded(time_s=made.BEGAN_S + 9e6, status="reached", step=STEPS, samples=SAMPLES)
    assert recorded(tmp_path, [*made.start(), Resumed(path=tmp_path, step=STEPS, samples=SAMPLES), ended]) == before


@pytest.mark.parametrize("cut", [6, None])  # a run that was killed, and one that came to its end
@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"target": 0.01}, "target 0.72 as in .*, found 0.01"),
        ({"precision": "bf16"}, "precision fp32 as in .*, found bf16"),
        ({"evaluation_samples": 7}, "evaluation_samples 150080 as in .*, found 7"),
        ({"hyperparameters": replace(made.LAMB, warmup_steps=3)}, "warmup_steps 0 as in .*, found 3"),
        ({"settings": {"max_samples": 5}}, "max_samples none as in .*, found 5"),
    ],
)
def test_a_run_goes_on_with_its_own_settings_alone(
    tmp_path: Path, cut: int | None, changes: dict[str, Any], found: str
) -> None:
    before = recorded(tmp_path, made.whole()[:cut])
    with pytest.raises(UsageError, match=f"^expected {found}.*Type: another --output"):
        recorded(tmp_path, made.start(**changes))
    assert training_record.read(tmp_path) == before
    moved = {"train_batch_size": 7, "data_dir": "elsewhere"}
    recorded(tmp_path, made.start(settings=moved, devices=4, free_settings=frozenset(moved)))


def test_a_run_goes_on_with_its_own_data_alone(tmp_path: Path) -> None:
    recorded(tmp_path, made.whole()[:6])
    began, opened, *_ = made.start()
    assert isinstance(opened, DataOpened)
    with pytest.raises(UsageError, match=r"expected training data with sha256 abab.* as in .*, found cdcd"):
        recorded(tmp_path, [began, replace(opened, sha256="cd" * 32)])


@pytest.mark.parametrize(("values", "kept"), [({"a": 0.5, "loss": float("nan")}, 2), ({"a": float("nan")}, 1)])
def test_a_score_that_is_no_number_breaks_no_file(tmp_path: Path, values: dict[str, float], kept: int) -> None:
    evaluation = EvaluationDone(step=9, samples=9, values=values, evaluated_samples=1, seconds=1.0)
    log = ComplianceLog(tmp_path / "mllog.txt")
    happened = [*made.start(), *list(made.blocks((0.1,)))[:2], evaluation]
    made.send(happened, log)
    assert len(recorded(tmp_path, happened).evaluations) == kept
    assert [line.key for line in mllog_file.read(tmp_path / "mllog.txt")].count("eval_accuracy") == kept


def test_a_record_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"record_version": 2, "verdict": "VALID"}')
    with pytest.raises(UsageError, match="found the record of an inference run"):
        training_record.read(tmp_path)
    recorded(tmp_path / "training", made.whole())
    with pytest.raises(UsageError, match="found the record of a training run"):
        run_record.read(tmp_path / "training")


def test_steps_survive_a_line_that_was_cut_off(tmp_path: Path) -> None:
    happened = made.whole((0.1, 0.8), every=500)
    made.send(happened[:-1], StepsTable(tmp_path))
    with (tmp_path / steps_table.NAME).open("a") as file:
        file.write("6,60")
    StepsTable(tmp_path)(made.step(6, 600, 0.0, gradient_norm=None))
    assert steps_table.read(tmp_path)[-1] == StepRow(6, 600, pytest.approx(10 / 6))  # type: ignore[arg-type]
    assert (
        (tmp_path / steps_table.NAME).read_text().splitlines()[0].startswith("step,samples,loss,mlm,nsp,learning_rate")
    )


def test_a_peak_is_measured() -> None:
    assert peak.measure("cpu", "fp32", seconds=0.0) > 1e8
