"""int8 on the embedded demo, through the real command and scorer: F1 compared with fp32's, and every scenario."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import SCENARIOS, Case, Run

from backends import BACKENDS

QUERIES = {"Offline": 60, "Server": 120, "SingleStream": 100, "MultiStream": 100}
# Shares of fp32's F1: what calibrated int8 keeps, and the floor for ranges computed per batch.
KEPT = {
    ("onnxruntime", "int8"): 0.999,
    ("onnxruntime", "int8-dynamic"): 0.99,
    ("pytorch", "int8"): 0.999,
    ("pytorch", "bf16"): 0.999,
    ("openvino", "int8"): 0.999,
}
DEMO_F1 = 99.15556  # fp32's, on either backend: test_end_to_end_demo.py


@pytest.fixture
def cache(shared: Path) -> Path:
    """One for the whole test run, so that an engine is built once."""
    return shared / "cache"


@pytest.mark.parametrize(("backend", "precision"), KEPT)
def test_it_keeps_the_f1_of_fp32(run: Run, cache: Path, backend: str, precision: str) -> None:
    pytest.importorskip(BACKENDS[backend].needs)
    flags = ("--backend", backend, "--precision", precision, "--mode", "accuracy", "--cache-dir", cache)
    fewer = ("--calibration-samples", 128) if backend == "openvino" else ()  # NNCF takes its time
    ended = run(*flags, *fewer, "--log-dir", "logs", with_case=False)
    assert ended.code == 0, ended.err
    record = ended.record()
    assert record["result"]["samples_answered"] == record["samples"] > 1200
    assert record["result"]["f1"] >= KEPT[backend, precision] * DEMO_F1


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("backend", ["onnxruntime", "pytorch"])
def test_every_scenario_runs_a_built_engine_and_records_it(
    run: Run, case: Case, cache: Path, backend: str, scenario: str
) -> None:
    what = (
        "--backend",
        backend,
        "--precision",
        "int8",
        "--scenario",
        scenario,
        "--test-query-count",
        QUERIES[scenario],
    )
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
