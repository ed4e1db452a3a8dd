"""The MLLOG lines of a run, read by MLPerf's own compliance checker."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import training_events as made
from mlperf_logging.compliance_checker import mlp_compliance

from sut.errors import UsageError
from training.loop.events import BlockBegan, EvaluationDone, Event, Resumed, RunEnded
from training.records import mllog_file
from training.records.mllog import ComplianceLog


def ticks() -> Iterator[int]:
    yield from range(1_700_000_000_000, 1_800_000_000_000, 1000)


def written(path: Path, happened: Sequence[Event], **options: Any) -> Path:
    clock = ticks()
    made.send(happened, ComplianceLog(path, now_ms=lambda: next(clock), **options))
    return path


def is_accepted(log: Path) -> bool:
    """What `python -m mlperf_logging.compliance_checker --ruleset 5.0.0 --werror LOG` says."""
    checker = mlp_compliance.make_checker("training", "5.0.0", quiet=False, werror=True)
    return bool(mlp_compliance.main(str(log), "training_5.0.0/common.yaml", checker)[0])


def keys(log: Path) -> list[str]:
    return [line.key for line in mllog_file.read(log)]


OPEN: dict[str, Any] = {"division": "open", "target": 0.3}


@pytest.mark.parametrize(
    ("scores", "changes", "accepted"),
    [
        (made.SCORES, {}, True),
        ((0.34, 0.5), {}, False),  # closed's accuracy is never reached
        ((0.0, 0.1, 0.31), OPEN, True),
        ((0.0, 0.1, 0.2), OPEN, True),  # open: aborted
        ((0.1, 0.2), {"division": "open", "target": None}, True),
    ],
)
def test_the_compliance_checker_accepts_a_complete_log(
    tmp_path: Path, scores: Sequence[float], changes: dict[str, Any], accepted: bool
) -> None:
    assert is_accepted(written(tmp_path / "log.txt", made.whole(scores, **changes))) == accepted


def test_an_epoch_is_a_sample_trained_on_any_rank(tmp_path: Path) -> None:
    lines = mllog_file.read(written(tmp_path / "log.txt", made.whole()))
    trained = made.EVERY * (len(made.SCORES) - 1)
    assert [line.metadata["epoch_num"] for line in lines if line.key == "eval_accuracy"][-1] == trained
    assert [line.value for line in lines if line.key == "train_samples"] == [trained]


@pytest.mark.parametrize(("scores", "status"), [((0.1, 0.8), "success"), ((0.1, 0.2), "aborted")])
def test_success_is_the_target_reached(tmp_path: Path, scores: Sequence[float], status: str) -> None:
    log = written(tmp_path / "log.txt", made.whole(scores))
    assert mllog_file.read(log)[-1].metadata["status"] == status


@pytest.mark.parametrize("status", ["failed", "interrupted"])
def test_a_crash_is_no_success(tmp_path: Path, status: Any) -> None:
    """FlagPerf looks at the exit code of one pipe: there a crash of any rank counts as a success."""
    ended = RunEnded(time_s=0.0, status=status, step=5, samples=5, reason="loss is NaN")
    log = written(tmp_path / "log.txt", [*made.whole()[:-1], ended])
    assert "run_stop" not in keys(log)
    assert not is_accepted(log)


@pytest.mark.parametrize("after", range(1, len(made.whole((0.1, 0.4, 0.72), every=500))))
def test_a_run_that_is_killed_anywhere_and_goes_on_has_a_valid_log(tmp_path: Path, after: int) -> None:
    whole = made.whole((0.1, 0.4, 0.72), every=500)
    log = written(tmp_path / "log.txt", whole[:after])
    with log.open("a", encoding="ascii") as file:
        file.write(':::MLLOG {"namespace": "", "time_')  # killed in the middle of a line
    rest = list(made.blocks((0.4, 0.72), first=0, every=500))
    resumed = Resumed(time_s=0.0, path=tmp_path, step=0, samples=0)
    written(log, [*made.start(restart=1), resumed, BlockBegan(step=0, samples=0, block_samples=500), *rest])
    assert is_accepted(log)
    once = [key for key in keys(log) if key not in ("restart", "resumed", "tracked_stats", "eval_accuracy")]
    places = [json.dumps([line.key, line.metadata.get("epoch_num"), line.metadata.get("first_epoch_num")])
              for line in mllog_file.read(log) if line.key in once]  # fmt: skip
    assert len(places) == len(set(places))


def test_the_block_that_a_kill_interrupted_goes_on(tmp_path: Path) -> None:
    whole = made.whole((0.1, 0.4, 0.72), every=500)
    middle = next(number for number, event in enumerate(whole) if isinstance(event, BlockBegan)) + 3
    log = written(tmp_path / "log.txt", whole[:middle])
    resumed = [Resumed(path=tmp_path, step=2, samples=200), BlockBegan(step=2, samples=200, block_samples=300)]
    written(log, [*made.start(restart=1), *resumed, *whole[middle:]])
    blocks = [(line.key, line.metadata["first_epoch_num"]) for line in mllog_file.read(log) if "block" in line.key]
    assert blocks == [("block_start", 0), ("block_stop", 0), ("block_start", 500), ("block_stop", 500)]


def test_an_evaluation_made_again_is_logged_again_only_if_it_differs(tmp_path: Path) -> None:
    whole = made.whole((0.1, 0.4), target=0.9, division="open")
    log = written(tmp_path / "log.txt", whole[:-1])
    evaluation = next(event for event in reversed(whole) if isinstance(event, EvaluationDone))
    other = EvaluationDone(step=5, samples=evaluation.samples, values={"a": 0.41}, evaluated_samples=1, seconds=1.0)
    written(log, [*made.start(target=0.9, division="open"), evaluation, other])
    assert [line.value for line in mllog_file.read(log) if line.key == "eval_accuracy"] == [0.1, 0.4, 0.41]


def test_a_life_that_has_only_to_end_knows_the_samples_of_the_last_evaluation(tmp_path: Path) -> None:
    whole = made.whole()
    log = written(tmp_path / "log.txt", whole[:-1])
    written(log, [*made.start(restart=1), whole[-1]])
    assert [line.value for line in mllog_file.read(log) if line.key == "eval_samples"] == [10_000]


def test_another_runs_log_is_not_continued(tmp_path: Path) -> None:
    log = written(tmp_path / "log.txt", made.whole()[:-1])
    with pytest.raises(UsageError, match=r"expected seed 1 as in .*log\.txt.*found 2"):
        written(log, made.start(seed=2))


def test_a_log_without_training_is_started_over(tmp_path: Path) -> None:
    log = written(tmp_path / "log.txt", made.start()[:-1])
    written(log, made.whole(seed=2))
    assert [line.value for line in mllog_file.read(log) if line.key == "seed"] == [2]
    assert is_accepted(log)


def test_only_pre_training_is_the_benchmark_bert(tmp_path: Path) -> None:
    log = written(tmp_path / "log.txt", made.whole((0.1, 0.4), task="sst2", **OPEN))
    assert [line.value for line in mllog_file.read(log) if line.key == "submission_benchmark"] == ["sst2"]


@pytest.mark.parametrize("name", ["eval_accuracy Inc.", "the\train_samples\run_stop", ":::MLLOG {", "Zürich"])
def test_a_users_text_is_no_key(tmp_path: Path, name: str) -> None:
    """The official checkers search lines for keys as text."""
    log = written(tmp_path / "log.txt", made.whole(), organisation=name)
    lines, text = mllog_file.read(log), log.read_text("ascii")
    for key in ("eval_accuracy", "train_samples", "run_stop"):
        assert text.count(key) == len([line for line in lines if line.key == key])
    assert text.count(":::MLLOG") == len(lines)
    assert [line.value for line in lines if line.key == "submission_org"] == [name]
    assert is_accepted(log)


@pytest.mark.parametrize("wrong", [{"target": 0.5}, {"target": None}, {"task": "sst2"}])
def test_the_closed_division_is_refused_to_what_is_not_closed(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r'in the closed division.*Type division = "open"'):
        written(tmp_path / "log.txt", made.start(**wrong))


@pytest.mark.parametrize(("cleared", "value"), [(None, False), ("page cache", True)])
def test_caches_count_as_cleared_only_if_they_were(tmp_path: Path, cleared: str | None, value: bool) -> None:
    lines = mllog_file.read(written(tmp_path / "log.txt", made.whole(), cleared=cleared))
    assert [line.value for line in lines if line.key == "cache_clear"] == [value]


def test_a_line_names_the_file_and_the_line_that_logged_it(tmp_path: Path) -> None:
    lines = mllog_file.read(written(tmp_path / "log.txt", made.whole()))
    assert {line.metadata["file"] for line in lines} == {"training/records/mllog.py"}
    assert len({line.metadata["lineno"] for line in lines}) > 10
