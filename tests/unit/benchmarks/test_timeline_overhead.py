"""The share of a run that recording takes, by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import records

from benchmarks.timeline_overhead import Cost


def test_the_share_is_that_of_batches_and_samples() -> None:
    work = records.record().batches
    assert work is not None
    run = records.record(batches=replace(work, batches=1_000, samples=8_000, window_s=2.0))
    assert Cost(batch_s=3e-6, sample_s=1e-7).of(run) == pytest.approx((0.003 + 0.0008) / 2)
