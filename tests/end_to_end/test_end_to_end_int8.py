"""int8 on the embedded demo, through the real command and scorer: F1 beside fp32's, and every scenario."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import SCENARIOS, Case, Run

QUERIES = {"Offline": 60, "Server": 120, "SingleStream": 100, "MultiStream": 100}
# Of fp32's F1: what calibrated int8 keeps, and the floor for ranges that each batch gives anew.
KEPT = {"int8": 0.999, "int8-dynamic": 0.99}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache, so that the engine is built once."""
    return tmp_path_factory.mktemp("cache")


def f1(run: Run, cache: Path, precision: str) -> float:
    flags = ("--mode", "accuracy", "--precision", precision, "--log-dir", precision, "--cache-dir", cache)
    ended = run(*flags, with_case=False)
    assert ended.code == 0, ended.err
    record = ended.record(precision)
    assert record["result"]["samples_answered"] == record["samples"] > 1200
    return float(record["result"]["f1"])


@pytest.mark.parametrize("precision", KEPT)
def test_it_keeps_the_f1_of_fp32(run: Run, cache: Path, precision: str) -> None:
    assert f1(run, cache, precision) >= KEPT[precision] * f1(run, cache, "fp32")


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_scenario_runs_a_built_engine_and_records_it(run: Run, case: Case, cache: Path, scenario: str) -> None:
    what = ("--precision", "int8", "--scenario", scenario, "--test-query-count", QUERIES[scenario])
    ended = run(*what, "--threads", 1, "--cache-dir", cache, "--calibration-dataset", case.dataset)
    assert ended.code == 0, ended.out + ended.err
    record = ended.record()
    assert record["verdict"] == "VALID"
    engine = cache / "engines" / record["engine"]["key"]
    assert json.loads((engine / "engine.json").read_bytes())["settings"] == {
        name: value for name, value in record["engine"].items() if name != "key"
    }
    assert any("development set" in notice for notice in record["notices"])
    assert " ".join(ended.out.split()).count("calibration data taken from the development set") == 1
