"""LoadGen's detail log: verdict, figure and reasons; numbers that are none; a log cut short."""

from __future__ import annotations

from pathlib import Path

import pytest

from sut.errors import RunFailedError
from sut.record import detail_log
from sut.record.detail_log import Judged

_LINE = ':::MLLOG {{"key": "{}", "value": {}, "metadata": {{"is_error": false}}}}\n'
SERVER = {
    "result_completed_samples_per_sec": "37.5",
    "result_validity": '"VALID"',
    "result_99.00_percentile_latency_ns": "2e6",
    "power_end": '"now"',
}


def judged(folder: Path, values: dict[str, str], *invalid: str, scenario: str = "Server") -> Judged:
    text = "".join(_LINE.format(key, value) for key, value in values.items())
    (folder / "mlperf_log_detail.txt").write_text(text, encoding="utf-8")
    return detail_log.performance(folder, scenario, 1000, invalid)


def test_a_valid_run(tmp_path: Path) -> None:
    found = judged(tmp_path, SERVER)
    assert (found.result.valid, found.result.value, found.reasons) == (True, 37.5, ())
    assert found.result.latency_ms["99.00"] == 2.0


@pytest.mark.parametrize("value", ["-nan", "nan", "inf", "-inf", "0"])
def test_a_figure_that_is_no_number_is_an_invalid_run(tmp_path: Path, value: str) -> None:
    found = judged(tmp_path, SERVER | {"result_completed_samples_per_sec": value})
    assert (found.result.valid, found.result.value) == (False, None)
    assert found.reasons == ("LoadGen has no throughput: too few queries, or settings out of range",)
    found = judged(tmp_path, SERVER | {"result_scheduled_samples_per_sec": value})
    assert found.result.valid, "a figure that is not the result's"


def test_a_run_that_loadgen_calls_valid_and_is_not(tmp_path: Path) -> None:
    found = judged(tmp_path, SERVER, "the wall clock was stepped")
    assert (found.result.valid, found.reasons) == (False, ("the wall clock was stepped",))
    missed = judged(tmp_path, SERVER | {"result_validity": '"INVALID"', "early_stopping_met": "false"})
    assert not missed.result.valid and len(missed.reasons) == 1


@pytest.mark.parametrize("cut", ["power_end", "result_validity"])
def test_a_log_that_is_not_complete(tmp_path: Path, cut: str) -> None:
    with pytest.raises(RunFailedError, match=r"expected .*log"):
        judged(tmp_path, {key: value for key, value in SERVER.items() if key != cut})
    with pytest.raises(RunFailedError, match="broken"):
        judged(tmp_path, SERVER | {"result_validity": "-"})
