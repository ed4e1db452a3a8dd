"""Every scenario, in both modes, on every backend, succeeds and leaves a complete record."""

from __future__ import annotations

import json
from typing import Any

import pytest
from command import LOGS, SCENARIOS, Case, Ended, Run
from paths import ROOT

from accuracy.__main__ import main as accuracy_main

QUERIES = {"Offline": 60, "Server": 120, "SingleStream": 100, "MultiStream": 100}
MODES = ("performance", "accuracy")
BACKENDS = {"fake": "fake", "onnxruntime": "random:bert-tiny", "pytorch": "random:bert-tiny"}
ABOUT = set(
    "verdict submittable random_weights notices given directory config samples sample_tokens topology "
    "zero_weights_share precision record_version".split()
)
MEASURED = set(
    "reasons first_query_unix_s instances_ready plan progress batches roi result machine "
    "distributions checksums instance_died timeline".split()
)


def assert_whole(ended: Ended, scenario: str, mode: str, backend: str) -> dict[str, Any]:
    """Exit code 0, LoadGen's files and ours, the notices that must appear next to a trial's figures."""
    assert ended.code == 0, ended.out + ended.err
    assert ended.errors == [] and "Traceback" not in ended.err
    assert "\x1b" not in ended.out + ended.err
    assert sorted(LOGS) == sorted(path.name for path in (ended.folder / "logs").glob("mlperf_log_*"))
    record = ended.record()
    has_files = backend != "fake" and not record["random_weights"]
    expected = ABOUT | MEASURED | ({"weight_types"} if has_files else set())
    expected |= set() if backend == "fake" else {"geometry", "operations"}
    expected |= {"accuracy_interval"} if mode == "accuracy" else set()
    assert set(record) - {"warnings"} == expected  # of other work on the cores, such as other tests
    assert record["submittable"] is False and "not submittable" in ended.out
    assert (record["config"]["scenario"], record["config"]["mode"]) == (scenario, mode)
    assert record["config"]["backend"] == backend
    assert all(" ".join(notice.split()) in " ".join(ended.out.split()) for notice in record["notices"])
    assert any("fake" in notice for notice in record["notices"]) is (backend == "fake")
    assert record["progress"]["completed"] == record["progress"]["issued"] > 0
    return record


def assert_scored(ended: Ended, record: dict[str, Any], case: Case) -> str:
    """All samples answered; accuracy.txt and the table say the same. Returns the line that the scorer must print."""
    assert record["result"]["samples_answered"] == record["result"]["total_sample_count"] == case.samples
    line = (ended.folder / "logs" / "accuracy.txt").read_text(encoding="utf-8").splitlines()[0]
    score = json.loads(line)
    assert list(score) == ["exact_match", "f1"]
    assert score == {name: record["result"][name] for name in score}
    return line


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_every_cell_of_the_matrix_ends_well(
    run: Run, case: Case, capsys: pytest.CaptureFixture[str], backend: str, mode: str, scenario: str
) -> None:
    model = BACKENDS[backend]
    count = ["--test-query-count", QUERIES[scenario]] if mode == "performance" else []
    what = ("--backend", backend, "--model", model, "--scenario", scenario, "--mode", mode)
    ended = run(*what, "--threads", 1, *count)
    record = assert_whole(ended, scenario, mode, backend)
    is_random = model.startswith("random:")
    assert record["random_weights"] is is_random
    assert ("random weights" in ended.out) is is_random
    if mode == "performance":
        assert record["verdict"] == "VALID"
        counted = "effective_min_sample_count" if scenario == "Offline" else "effective_min_query_count"
        assert record["plan"]["min_query_count"] == QUERIES[scenario] == ended.detail(counted)
    else:
        assert record["verdict"] == "SCORED"
        line, log = assert_scored(ended, record, case), ended.folder / "logs" / "mlperf_log_accuracy.json"
        assert accuracy_main(["--log-file", str(log), *case.data]) == 0
        assert capsys.readouterr().out.splitlines()[0] == line


@pytest.mark.skipif(not (ROOT / "assets/demo/model.safetensors").is_file(), reason="the demo model is being trained")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("backend", ("onnxruntime", "pytorch"))
def test_the_demo_model_is_no_random_one(run: Run, case: Case, backend: str, mode: str) -> None:
    count = ["--test-query-count", 60] if mode == "performance" else []
    ended = run("--backend", backend, "--model", "demo", "--mode", mode, "--threads", 1, *count)
    record = assert_whole(ended, "Offline", mode, backend)
    assert record["random_weights"] is False and "random weights" not in ended.out + ended.err
    if mode == "accuracy":
        line = assert_scored(ended, record, case)
        again = run("--log-file", "logs/mlperf_log_accuracy.json", *case.data, module="accuracy")
        assert again.code == 0 and again.out.splitlines()[0] == line


def test_describe_names_the_data_set_that_the_runs_are_made_on(run: Run, case: Case) -> None:
    ended = run("describe", *case.data, module="qsl")
    found = json.loads(ended.out)
    assert ended.code == 0 and ended.err == ""
    assert (found["features"], found["sha256"]) == (case.samples, case.features.features.digest())
