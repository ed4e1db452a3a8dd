"""Defaults < preset < TOML < flags, and the one clear error for what cannot be, before anything starts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from backends import BACKENDS
from sut.commands.sweep import command as sweep
from sut.errors import UsageError, UserError
from sut.settings import flags, presets
from sut.settings.parser import new_parser
from sut.settings.resolve import given, read_toml, resolve, to_flags
from sut.settings.settings import SETTINGS, RunConfig


def toml(tmp_path: Path, text: str) -> dict[str, Any]:
    path = tmp_path / "run.toml"
    path.write_text(text, encoding="utf-8")
    return read_toml(path)


def test_without_anything_it_is_the_default() -> None:
    assert resolve({}) == RunConfig()


def test_every_row_says_what_holds_without_it() -> None:
    assert [row.name for row in SETTINGS.values() if row.default is None and not row.implied] == []


def test_every_preset_can_be_run_and_flags_override_it(tmp_path: Path) -> None:
    for name in presets.table():
        assert resolve({"preset": name}).preset == name
    path = toml(tmp_path, 'preset = "quick"\ninstances = 2\n')
    config = resolve({"test_query_count": 5}, path)
    assert (config.test_query_count, config.instances) == (5, 2)
    assert resolve({"preset": "quick"}).test_query_count == 200


def test_an_unknown_preset_suggests_the_nearest() -> None:
    with pytest.raises(UsageError, match="Did you mean quick"):
        resolve({"preset": "quik"})


def test_the_embedded_data_set_has_a_name_too(tmp_path: Path) -> None:
    assert resolve({"preset": "ixrt-int8-accuracy"}).dataset == Path("squad-dev")
    assert resolve({"preset": "ixrt-int8-accuracy", "dataset": Path("demo")}).dataset is None
    assert resolve({}, toml(tmp_path, 'dataset = "demo"\n')).dataset is None


def test_a_presets_calibration_data_go_with_its_own_data_set() -> None:
    own = resolve({"preset": "bert-base-sst2-int8"})
    assert (own.task, own.calibration_dataset, own.calibration_samples) == ("sst2", Path("sst2"), 1000)
    assert resolve({"preset": "bert-base-sst2-int8", "dataset": Path("demo")}).calibration_dataset is None


def test_flags_override_toml_and_toml_the_defaults(tmp_path: Path) -> None:
    path = toml(tmp_path, 'scenario = "Server"\nthreads = 3\ndataset = "a.json"\n')
    config = resolve({"scenario": "singlestream", "target_qps": 4.0}, path)
    assert config.scenario == "SingleStream"
    assert config.threads == 3
    assert config.dataset == Path("a.json")
    assert config.target_qps == 4.0
    assert config.backend == RunConfig().backend


def test_false_in_a_file_overrides_a_preset(tmp_path: Path) -> None:
    config = resolve({"preset": "pkm"}, toml(tmp_path, "roi = false\n"))
    assert not config.roi
    assert resolve(given(config)) == resolve(presets.settings("pkm") | {"roi": False})


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_precision_is_one_of_the_chosen_backends(backend: str) -> None:
    for precision in BACKENDS[backend].precisions:
        assert resolve({"backend": backend, "precision": precision.upper()}).precision == precision
    assert resolve({"backend": backend, "precision": "fp16"}).precision == "fp16"
    with pytest.raises(UsageError, match=f"unknown --precision 'int3' for backend '{backend}'"):
        resolve({"backend": backend, "precision": "int3"})


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"scenario": "Offlin"}, "Did you mean Offline"),
        ({"scenario": "singlestrem"}, "Did you mean SingleStream"),
        ({"scenario": "batch"}, "Offline, Server, SingleStream, MultiStream"),
        ({"mode": "acuracy"}, "Did you mean accuracy"),
        ({"execution_mode": "full"}, "test, valid"),
        ({"execution_mode": "vald"}, "Did you mean valid"),
        ({"executor": "process"}, "Did you mean processes"),
        ({"backend": "onnxruntim"}, "Did you mean onnxruntime"),
        ({"backend": "torch"}, "Did you mean pytorch"),
        ({"precision": "itn8"}, "Did you mean int8"),
        (
            {"backend": "fake", "precision": "bf16"},
            "unknown --precision 'bf16' for backend 'fake' .choose from fp32, fp16.",
        ),
        (
            {"backend": "gpu"},
            "a --precision for backend 'gpu', found none .default: fp32.. Choose from fp16, bf16, fp8, int8",
        ),
        (
            {"backend": "gpu", "precision": "fp32"},
            "unknown --precision 'fp32' for backend 'gpu' .choose from fp16, bf16, fp8, int8.",
        ),
        ({"task": "squat"}, "Did you mean squad"),
        ({"round": "v6.2"}, "v5.0, v5.1, v6.0, v6.1"),
        ({"fpmath_mode": "bf61"}, "Did you mean bf16"),
        ({"kpi": "troughput"}, "Did you mean throughput"),
        ({"find_peak": True, "scenario": "Server", "target": "5"}, "--find-peak"),
        ({"instances": 0}, "--instances above 0"),
        ({"target_qps": -1.0}, "--target-qps above 0"),
        ({"target_qps": 0.0}, "--target-qps above 0"),
        ({"target_qps": float("nan")}, "--target-qps above 0"),
        ({"target_qps": float("inf")}, "--target-qps above 0"),
        ({"target_qps": 1e30}, "--target-qps above 0"),
        ({"min_duration_s": -0.5}, "--min-duration-s from 0"),
        ({"min_duration_s": float("nan")}, "--min-duration-s from 0"),
        ({"min_duration_s": float("inf")}, "--min-duration-s from 0"),
        ({"execution_mode": "valid", "test_query_count": 5}, "--test-query-count.*--execution-mode test"),
        ({"execution_mode": "valid", "min_duration_s": 10.0}, "600"),
        ({"execution_mode": "valid", "min_duration_s": 0.0}, "600"),
        ({"executor": "inline", "instances": 2}, "one instance, found --instances 2"),
        ({"steps": 5, "test_query_count": 9}, "--test-query-count"),
        ({"steps": 5, "mode": "accuracy"}, "--mode performance"),
        ({"roi": True, "mode": "accuracy"}, "--roi"),
        ({"kpi": "accuracy"}, "--kpi accuracy"),
        ({"verbose": True, "executor": "inline"}, "--verbose"),
        ({"calibration_list": Path("a"), "calibration_samples": 3}, "--calibration-list"),
        ({"target_latency_ms": 5.0}, "--scenario Server"),
        ({"audit_config": Path("audit.config"), "mode": "accuracy"}, "--audit-config"),
        ({"mode": "accuracy", "target": "bert-9"}, "Did you mean bert-99"),
        ({"mode": "accuracy", "target": "bert-99", "task": "sst2"}, "demo-sst2"),
        ({"target": "bert-99"}, "samples/s .*'bert-99'.*--mode accuracy"),
        ({"target": "-3"}, "samples/s"),
        ({"target": "inf"}, "samples/s"),
        ({"target": "nan", "scenario": "SingleStream"}, "number of ms"),
        ({"colour": "red"}, "unknown setting 'colour'"),
    ],
)
def test_invalid_values_end_in_one_message(flags: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=words):
        resolve(flags)


@pytest.mark.parametrize("name", [row.name for row in SETTINGS.values() if row.kind is int and row.above == 0])
@pytest.mark.parametrize("value", [0, -1, 99999999999999999999])
def test_counts_out_of_range(name: str, value: int) -> None:
    with pytest.raises(UsageError, match=f"{SETTINGS[name].flag} above 0 .*found {value}"):
        resolve({name: value})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('scenari = "Offline"', "'scenari' in .*run.toml. Did you mean scenario"),
        ("threads = [", "TOML in .*run.toml"),
        ("scenario = ", "TOML in .*run.toml"),
        ('colour = "red"', "unknown setting 'colour'"),
        ('threads = "four"', "in .*run.toml: expected --threads as a whole number, found 'four'"),
        ("threads = 1.5", "--threads as a whole number, found 1.5"),
        ("threads = true", "--threads as a whole number, found True"),
        ("instances = -1", "--instances above 0 .*found -1"),
        ('find_peak = "yes"', "--find-peak as true or false"),
        ("model = 5", "--model as text"),
        ("dataset = 5", "--dataset as a path, found 5"),
        ('scenario = "Ofline"', "in .*run.toml: unknown --scenario 'Ofline' .*Did you mean Offline"),
        ('precision = "itn8"', "Did you mean int8"),
    ],
)
def test_a_toml_file_is_checked_as_flags_are(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        resolve({}, toml(tmp_path, text))


def test_a_toml_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.toml"):
        read_toml(tmp_path / "none.toml")


def test_a_file_of_settings_may_be_a_pipe_which_each_verb_reads_once() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"threads = 3\n")
    os.close(writing)
    options = sweep.parser().read(["--config", f"/dev/fd/{reading}", "--output-dir", "x", "--set", "instances=1 2"])
    values, found = flags.split(options, "sweep")
    os.close(reading)
    assert [resolve(values, found).threads for _ in range(2)] == [3, 3]


def test_a_nul_in_a_file_of_settings_is_refused(tmp_path: Path) -> None:
    for name in ("model", "dataset", "log_dir"):
        with pytest.raises(UsageError, match="without a NUL"):
            resolve({}, toml(tmp_path, f'{name} = "a\\u0000b"\n'))


def test_nodes_by_several_flags_or_as_a_list(tmp_path: Path) -> None:
    parser = new_parser("run")
    flags.add(parser, "run")
    words = ["--executor", "remote", "--node", "a:1", "--node", "b:2"]
    typed = resolve(*flags.split(parser.read(words), "run"))
    listed = resolve({}, toml(tmp_path, 'executor = "remote"\nnode = ["a:1", "b:2"]\n'))
    assert typed.node == listed.node == "a:1,b:2"
    assert resolve(given(typed)) == typed
    assert parser.read(to_flags(typed)) == parser.read(["--executor", "remote", "--node", "a:1,b:2"])


DIVISION = {"executor": "remote", "node": "a:1", "network_division": True}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"executor": "remote"}, "--executor remote and --node HOST:PORT go together"),
        ({"node": "a:1"}, "--executor remote and --node HOST:PORT go together"),
        ({"executor": "remote", "node": "a:1", "instances": 2}, "--instances is a node's own"),
        ({"network_division": True}, "--network-division goes with --executor remote"),
        (DIVISION | {"batch_size": 4}, "--batch-size forms batches, found it with --network-division"),
        (DIVISION | {"max_batch_tokens": 512}, "--max-batch-tokens forms batches"),
        ({"executor": "remote", "node": "a:1", "cores_per_instance": 2}, "--cores-per-instance is a node's own"),
    ],
)
def test_what_belongs_to_a_node(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        resolve(settings)
