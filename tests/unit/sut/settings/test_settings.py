"""Defaults < TOML < flags, and the one clear error for what cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from sut.errors import UsageError
from sut.settings import presets
from sut.settings.resolve import RunConfig, resolve


def toml(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "run.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_without_anything_it_is_the_default() -> None:
    assert resolve({}) == RunConfig()


def test_every_preset_can_be_run_and_flags_override_it(tmp_path: Path) -> None:
    for name in presets.table():
        assert resolve({"preset": name}).preset == name
    path = toml(tmp_path, 'preset = "quick"\ninstances = 2\n')
    config = resolve({"test_query_count": 5}, path)
    assert (config.test_query_count, config.instances) == (5, 2)
    assert resolve({"preset": "quick"}).test_query_count == 200


def test_an_unknown_preset_is_told_its_neighbour() -> None:
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


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"scenario": "Offlin"}, "Did you mean Offline"),
        ({"scenario": "batch"}, "Offline, Server, SingleStream, MultiStream"),
        ({"mode": "acuracy"}, "Did you mean accuracy"),
        ({"execution_mode": "full"}, "test, valid"),
        ({"executor": "process"}, "Did you mean processes"),
        ({"find_peak": True, "scenario": "Server", "target": "5"}, "--find-peak"),
        ({"instances": 0}, "--instances above 0"),
        ({"target_qps": -1.0}, "--target-qps above 0"),
        ({"target_qps": float("nan")}, "--target-qps above 0"),
        ({"test_query_count": -3}, "--test-query-count above 0"),
        ({"min_duration_s": -0.5}, "--min-duration-s"),
        ({"execution_mode": "valid", "test_query_count": 5}, "--execution-mode test"),
        ({"execution_mode": "valid", "min_duration_s": 10.0}, "600"),
        ({"execution_mode": "valid", "min_duration_s": 0.0}, "600"),
        ({"executor": "inline", "instances": 2}, "one instance"),
    ],
)
def test_what_cannot_be_is_said_once_and_clearly(flags: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        resolve(flags)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('scenrio = "Offline"', "Did you mean scenario"),
        ("threads = [", "TOML"),
        ('colour = "red"', "unknown setting 'colour'"),
        ('threads = "four"', "--threads"),
        ('scenario = "Of"', "expected --scenario"),
    ],
)
def test_a_toml_file_is_checked_as_flags_are(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        resolve({}, toml(tmp_path, text))


def test_a_toml_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.toml"):
        resolve({}, tmp_path / "none.toml")
