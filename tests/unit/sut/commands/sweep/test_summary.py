"""The figures of a run, and what repeats say together, against the definitions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import records
from hypothesis import given
from hypothesis import strategies as st

from sut.commands.sweep import summary, table
from sut.commands.sweep.grid import axis, points
from sut.commands.sweep.rows import SweepRow
from sut.record import figures
from sut.record.run_record import Verdict

FINITE = st.floats(0.1, 1e6)


@given(st.lists(FINITE, min_size=1, max_size=9))
def test_median_and_spread(values: list[float]) -> None:
    found = summary.figure(values)
    assert found.median == pytest.approx(np.median(values))
    assert (found.lowest, found.highest, found.n) == (min(values), max(values), len(values))
    assert (found.mean_95 is None) == (len(values) == 1)


def row(instances: int, verdict: Verdict = "VALID", speed: float | None = 1.0, notice: str = "a trial") -> SweepRow:
    return SweepRow(
        point={"instances": instances},
        repeat=1,
        given={},
        exit_code=0,
        verdict=verdict,
        figures={} if speed is None else {"samples_per_s": speed},
        error="it broke" if speed is None else None,
        notices=(notice,),
    )


def test_points_are_put_together_in_the_order_of_the_grid() -> None:
    grid = points([axis("instances=1 2 4")], {})
    rows = [row(2, "INVALID", 5.0), row(1, speed=1.0), row(1, speed=3.0), row(2, "FAILED", None, "odd")]
    one, two = summary.summaries(grid, rows)
    assert (one.point, one.runs, one.figures["samples_per_s"].median) == ({"instances": 1}, 2, 2.0)
    assert one.is_sure
    assert (two.failures, two.verdicts, two.figures["samples_per_s"].n) == (1, {"INVALID": 1, "FAILED": 1}, 1)
    assert not two.is_sure
    assert two.notices == ("a trial", "odd")


def test_warnings_that_differ_in_their_numbers_are_one_line() -> None:
    busy = [replace(row(1), warnings=(f"other work keeps {cores} of 2 cores busy",)) for cores in (1.8, 2.0)]
    rows = [row(1), *busy, replace(row(2), warnings=("the governor is powersave",))]
    assert table.warnings(rows) == [
        "in 2 of 4 runs: other work keeps 1.8 of 2 cores busy",
        "in 1 of 4 runs: the governor is powersave",
    ]
    assert table.warnings([row(1)]) == []


def test_offline_has_the_latency_of_its_batches_and_others_loadgens() -> None:
    offline = records.record()
    assert offline.performance and offline.batches
    result = replace(offline.performance, value=7.0, latency_ms={"50.00": 1.0, "99.90": 2.0})
    batches = replace(offline.batches, batch_latency_ms={"mean": 4.0, "p99": 5.0})
    assert figures.of(replace(offline, result=result, batches=batches)) == {"samples_per_s": 7.0, "batch_p99_ms": 5.0}
    assert figures.label("batch_p99_ms") == "batch p99 latency, ms"
    server = replace(offline, config=replace(offline.config, scenario="Server"), result=result)
    assert figures.of(server) == {"samples_per_s": 7.0, "p50_ms": 1.0, "p99.9_ms": 2.0}


def test_a_streams_speed_is_completed_samples_over_time() -> None:
    stream = records.record()
    assert stream.performance and stream.progress
    progress = replace(stream.progress, completed=30, first_issue_s=1.0, last_answer_s=4.0)
    result = replace(stream.performance, unit="ms", value=9.0, latency_ms={})
    config = replace(stream.config, scenario="SingleStream")
    assert figures.of(replace(stream, config=config, result=result, progress=progress)) == {"samples_per_s": 10.0}
