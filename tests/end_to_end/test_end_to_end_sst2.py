"""Sentiment through the real command: the embedded model, every way of running it, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from command import Case, Run, assert_refused
from paths import ROOT

from backends import BACKENDS
from qsl import demo_sst2, sst2

DEMO = ROOT / "assets" / "demo-sst2"
SQUAD_DEMO = ROOT / "assets" / "demo"
WAYS = {
    "onnxruntime": (),
    "onnxruntime int8": ("--precision", "int8"),
    "pytorch int8, two instances": ("--backend", "pytorch", "--precision", "int8", "--instances", 2, "--threads", 1),
    "openvino": ("--backend", "openvino", "--executor", "inline"),
}


@pytest.fixture
def flags(shared: Path) -> tuple[object, ...]:
    return ("--task", "sst2", "--cache-dir", shared / "cache", "--log-dir", "logs")


@pytest.mark.parametrize("way", WAYS)
def test_the_demo_reaches_its_target(run: Run, flags: tuple[object, ...], way: str) -> None:
    for backend in BACKENDS:
        if backend in way:
            pytest.importorskip(BACKENDS[backend].needs)
    ended = run(*flags, "--mode", "accuracy", "--calibration-samples", 100, *WAYS[way], with_case=False)
    assert ended.code == 0, ended.out + ended.err
    record = ended.record()
    assert record["verdict"] == "PASS"
    assert record["result"]["target"]["name"] == "demo-sst2"
    assert record["result"]["accuracy"] >= 95
    assert record["result"]["samples_answered"] == record["samples"] == demo_sst2.SPLITS["dev"]
    line = (ended.folder / "logs" / "accuracy.txt").read_text(encoding="utf-8").splitlines()[0]
    assert json.loads(line) == {"accuracy": record["result"]["accuracy"]}
    again = ["--log-file", "logs/mlperf_log_accuracy.json", "--dataset", record["config"]["dataset"]]
    assert run("--task", "sst2", *again, module="accuracy").out.startswith(line)


@pytest.mark.parametrize("scenario", ["Offline", "Server", "SingleStream"])
def test_performance_is_valid(run: Run, case: Case, flags: tuple[object, ...], scenario: str) -> None:
    what = ("--scenario", scenario, "--test-query-count", 120, "--user-conf", case.user_conf)
    ended = run(*flags, *what, with_case=False)
    assert ended.code == 0, ended.out + ended.err
    assert ended.record()["verdict"] == "VALID"
    assert ended.detail("effective_performance_sample_count") == demo_sst2.SPLITS["dev"]


def test_each_id_is_answered_with_its_own_sample(run: Run, flags: tuple[object, ...], tmp_path: Path) -> None:
    ended = run(*flags, "--backend", "fake", "--mode", "accuracy", "--instances", 2, with_case=False)
    assert ended.code == 0, ended.err
    features = sst2.load(Path(ended.record()["config"]["dataset"]), DEMO / "vocab.txt", None)
    for entry in json.loads((ended.folder / "logs" / "mlperf_log_accuracy.json").read_bytes()):
        ids = features.sample(entry["qsl_idx"])[0]
        found = np.frombuffer(bytes.fromhex(entry["data"]), "<f4")
        assert found.tolist() == [ids.sum() - len(ids), ids.sum() + len(ids)]


def test_shuffled_labels_are_chance(run: Run, flags: tuple[object, ...], tmp_path: Path) -> None:
    demo_sst2.write(tmp_path / "shuffled.tsv", "dev", shuffled=True)
    what = ("--mode", "accuracy", "--dataset", tmp_path / "shuffled.tsv", "--target", "60")
    ended = run(*flags, *what, with_case=False)
    assert ended.code == 1
    assert ended.record()["verdict"] == "FAIL"
    assert 45 < ended.record()["result"]["accuracy"] < 55


def test_a_valid_run_says_that_it_is_no_benchmark(shared: Path, tmp_path: Path) -> None:
    """Seen in what is prepared, without the ten minutes."""
    from sut.running.prepare import prepare
    from sut.settings.resolve import resolve

    values = {
        "task": "sst2",
        "execution_mode": "valid",
        "cache_dir": str(shared / "cache"),
        "log_dir": str(tmp_path / "valid"),
    }
    assert prepare(resolve(values)).notices == ("not an MLPerf task: not submittable",)


def test_the_demo_is_small() -> None:
    sizes = {path.name: path.stat().st_size for path in DEMO.iterdir()}
    assert set(sizes) == {"model.safetensors", "config.json", "vocab.txt"}
    assert sum(sizes.values()) < 1.5e6


# --- what is refused ----------------------------------------------------------------------------------------------


def test_a_model_with_another_head(refuse: Run, flags: tuple[object, ...]) -> None:
    ended = refuse(*flags, "--model", SQUAD_DEMO, with_case=False)
    assert_refused(ended, "classification of sentences", "question answering", "--task squad")
    assert ended.runs == []
    assert_refused(refuse("--model", DEMO), "--task sst2")


def test_data_of_another_task(refuse: Run, flags: tuple[object, ...], tmp_path: Path) -> None:
    dataset = tmp_path / "dev.json"
    dataset.write_text('{"data": []}', encoding="utf-8")
    assert_refused(refuse(*flags, "--dataset", dataset, with_case=False), "SST-2", "dev.json")


def test_a_set_without_labels_runs_but_is_not_scored(run: Run, flags: tuple[object, ...], tmp_path: Path) -> None:
    dataset = tmp_path / "test.tsv"
    rows = "".join(f"{row}\t{text}\n" for row, (text, _) in enumerate(demo_sst2.generate("dev", sentences=30)))
    dataset.write_text("index\tsentence\n" + rows, encoding="utf-8")
    what = ("--dataset", dataset, "--vocab", DEMO / "vocab.txt", "--backend", "fake")
    assert_refused(run(*flags, *what, "--mode", "accuracy", with_case=False), "label", "test.tsv")
    assert run(*flags, *what, "--test-query-count", 30, with_case=False).code == 0


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--task", "sst3"), ("squad, sst2", "Did you mean sst2")),
        (("--task", "sst2", "--target", "bert-99", "--mode", "accuracy"), ("demo-sst2",)),
        (("submit", "--task", "sst2", "--submitter", "me", "--output-dir", "out"), ("--task sst2", "squad")),
    ],
)
def test_settings_of_another_task_are_refused(refuse: Run, args: tuple[str, ...], words: tuple[str, ...]) -> None:
    assert_refused(refuse(*args, with_case=False), *words)
