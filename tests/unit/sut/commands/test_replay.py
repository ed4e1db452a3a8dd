"""What a replay reads out of a run.json, and what of two it calls different."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import records

from sut.commands.replay import command as replay_command
from sut.errors import UsageError
from sut.record.run_record import Engine
from sut.reporting.differences import Difference, differences, sections
from sut.settings.resolve import given, resolve
from sut.settings.settings import RunConfig


def written(tmp_path: Path, **record: Any) -> Path:
    content = {"verdict": "VALID", "directory": str(tmp_path), "config": {}, **record}
    (tmp_path / "run.json").write_text(json.dumps(content))
    return tmp_path


@pytest.mark.parametrize(
    "config",
    [
        RunConfig(),
        RunConfig(scenario="Server", find_peak=True, min_duration_s=2.5),
        RunConfig(backend="fake", dataset=Path("a b.json"), instances=2, log_dir=None),
    ],
)
def test_given_settings_are_repeated(tmp_path: Path, config: RunConfig) -> None:
    said = json.loads(json.dumps(given(config)))
    assert resolve(said) == config
    found = replay_command.read(written(tmp_path, given={**said, "log_dir": "elsewhere"}))
    assert found.config == config
    assert found.remarks == []


def test_an_older_run_json_of_the_demo_stays_one_of_the_demo(tmp_path: Path) -> None:
    resolved = {"scenario": "Offline", "model": "demo", "dataset": "/c/demo-dev-1f.json", "vocab": "/p/demo/vocab.txt",
                "instances": 2, "target": None, "log_dir": "x"}  # fmt: skip
    found = replay_command.read(written(tmp_path, config=resolved))
    assert found.config == RunConfig(instances=2)
    assert "older version" in found.remarks[0]


def test_settings_of_another_version_are_named_and_left_out(tmp_path: Path) -> None:
    found = replay_command.read(written(tmp_path, given={"backend": "fake", "warp": 9, "colour": "red"}))
    assert found.config == RunConfig(backend="fake")
    assert [remark for remark in found.remarks if "colour, warp" in remark]


@pytest.mark.parametrize("verdict", ["FAILED", "unfinished"])
def test_a_run_that_did_not_finish_is_recognised(tmp_path: Path, verdict: str) -> None:
    found = replay_command.read(written(tmp_path, verdict=verdict, given={}, reasons=["it broke"]))
    assert verdict in found.remarks[0] and "it broke" in found.remarks[0]


@pytest.mark.parametrize("content", [None, "{", "[]", "{}", '{"config": 3}'])
def test_a_path_without_a_run_is_one_error(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    with pytest.raises(UsageError, match=r"run\.json"):
        replay_command.read(tmp_path)


def test_differences_are_named_with_both_values() -> None:
    then = records.record(engine=Engine("k", {}))
    assert then.machine is not None
    machine = replace(then.machine, packages={**then.machine.packages, "numpy": "2.9", "jax": "3"})
    now = records.record(machine=machine, config=replace(then.config, log_dir=Path("b")))
    among = sections(then, now)
    assert "engine" not in among  # one of them has none
    assert differences(then, now, among) == [
        Difference("machine.packages.numpy", then.machine.packages["numpy"], "2.9"),
        Difference("machine.packages.jax", None, "3"),
    ]
    assert differences(then, then, among) == []


def test_a_preset_is_no_difference_from_the_settings_that_it_stands_for() -> None:
    then = records.record(config=RunConfig(preset="quick", log_dir=Path("a")))
    now = records.record(config=RunConfig(log_dir=Path("b")))
    assert differences(then, now, ("config",)) == []
