"""What a tuning leaves for later runs: read as written, found again by the same machine, model, data and scenario."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import records

from sut.record import tuned
from sut.record.results import PeakResult
from sut.record.run_record import RunRecord
from sut.record.tuned import TunedRecord

RUN = records.record(checksums={"weights": "w", "dataset": "d"})
SPEED = RUN.performance.value if RUN.performance and RUN.performance.value else 0.0


def best(**changes: Any) -> TunedRecord:
    found = TunedRecord(
        found=datetime(2026, 11, 26, 12, tzinfo=UTC),
        processor="a processor",
        cores=2,
        model="demo",
        scenario="Offline",
        given={"backend": "pytorch", "precision": "int8"},
        chosen={"backend": "pytorch", "precision": "int8"},
        metric="throughput",
        unit="samples/s",
        value=4.1 * SPEED,
        best_toml="/nowhere/best.toml",
    )
    return replace(found, **changes)


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tuned.path(RUN, tmp_path)
    assert tuned.read(path) is None
    tuned.write(path, best(accuracy={"f1": 99.1}, peak_gops=800.0, share_of_peak=0.7))
    assert tuned.read(path) == best(accuracy={"f1": 99.1}, peak_gops=800.0, share_of_peak=0.7)
    path.write_text("{}", encoding="utf-8")
    assert tuned.read(path) is None


def changed(**config: Any) -> RunRecord:
    return replace(RUN, config=replace(RUN.config, **config))


@pytest.mark.parametrize(
    "other",
    [
        changed(scenario="SingleStream"),
        changed(task="sst2"),
        replace(RUN, checksums={"weights": "other", "dataset": "d"}),
        replace(RUN, checksums={"weights": "w", "dataset": "other"}),
        replace(RUN, machine=replace(RUN.machine, processor="another")) if RUN.machine else RUN,
    ],
    ids=("scenario", "task", "weights", "data", "machine"),
)
def test_another_run_has_another_file(tmp_path: Path, other: RunRecord) -> None:
    assert tuned.path(other, tmp_path) != tuned.path(RUN, tmp_path)


def test_the_settings_of_a_run_are_not_part_of_its_files_name(tmp_path: Path) -> None:
    assert tuned.path(changed(backend="pytorch", instances=7), tmp_path) == tuned.path(RUN, tmp_path)


def test_a_run_that_is_far_slower_says_so_in_one_line(tmp_path: Path) -> None:
    hint = tuned.hint(RUN, best())
    assert hint is not None
    assert hint.startswith("pytorch int8 was 4.1 times as fast here") and hint.endswith("Type: python -m sut tune")
    path = tmp_path / "best.toml"
    path.touch()
    assert str(tuned.hint(RUN, best(best_toml=str(path)))).endswith(f"Type: python -m sut --config {path}")


def test_the_same_settings_hint_at_the_machine() -> None:
    assert "is the machine busy?" in str(tuned.hint(RUN, best(chosen=tuned.chosen(RUN))))


def test_nothing_is_said_without_a_tuning_or_a_large_difference() -> None:
    assert tuned.hint(RUN, None) is None
    assert tuned.hint(RUN, best(value=1.4 * SPEED)) is None
    assert tuned.hint(RUN, best(unit="queries/s")) is None
    assert tuned.hint(replace(RUN, result=PeakResult(value=None, probes=())), best()) is None


def test_a_latency_is_better_if_it_is_lower() -> None:
    assert RUN.performance is not None
    stream = replace(RUN, result=replace(RUN.performance, unit="ms", value=10.0))
    assert "2.5 times" in str(tuned.hint(stream, best(unit="ms", value=4.0)))
    assert tuned.hint(stream, best(unit="ms", value=40.0)) is None
