"""`python -m sut build`: where an engine is stored, when it is rebuilt, and what a run reports of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import published
import pytest
from paths import ROOT
from small_bert import SMALL, random_tensors, write_model

from backends.quantization.int8_model import read_engine
from qsl import demo
from sut.__main__ import main
from sut.errors import UsageError
from sut.running import engines
from sut.running.prepare import prepare
from sut.settings.resolve import resolve
from sut.settings.settings import RunConfig

VOCAB = ROOT / "assets" / "demo" / "vocab.txt"
OWN = replace(SMALL, vocab_size=3055, num_hidden_layers=2)  # of the demo's vocabulary


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of our own, two data sets and the cache that all engines here share."""
    folder = tmp_path_factory.mktemp("engines")
    write_model(folder / "model", OWN, random_tensors(OWN, 3))
    demo.write(folder / "dev.json", "dev", 4, 20)
    demo.write(folder / "train.json", "train", 4, 20)
    return folder


@pytest.fixture
def config(folder: Path) -> RunConfig:
    return resolve({**flags(folder), "precision": "int8"})


def flags(folder: Path) -> dict[str, object]:
    names = {"model": str(folder / "model"), "vocab": VOCAB, "cache_dir": folder / "cache"}
    return {**names, "dataset": folder / "dev.json", "calibration_samples": 5}


def changed(folder: Path, **values: object) -> RunConfig:
    return resolve({**flags(folder), "precision": "int8", **values})


def test_the_second_build_finds_the_first(config: RunConfig, capsys: pytest.CaptureFixture[str]) -> None:
    first = engines.build(config)
    written = (first / "engine.safetensors").stat().st_mtime_ns
    assert "building" in capsys.readouterr().err
    assert engines.build(config) == first
    assert (first / "engine.safetensors").stat().st_mtime_ns == written
    assert "building" not in capsys.readouterr().err
    about = read_engine(first).settings
    assert (about["calibration_samples"], about["calibration_seed"], about["ranges"]) == (5, 0, "mse")


def test_every_input_is_part_of_the_key(folder: Path, config: RunConfig) -> None:
    other = shutil.copytree(folder / "model", folder / "other", dirs_exist_ok=True)
    write_model(other, OWN, random_tensors(OWN, 4))
    found = [
        engines.build(one)
        for one in (
            config,
            changed(folder, calibration_seed=1),
            changed(folder, calibration_samples=6),
            changed(folder, calibration_dataset=folder / "train.json"),
            changed(folder, model=str(other)),
        )
    ]
    assert len(set(found)) == len(found)


def test_a_copy_of_the_model_has_the_same_engine(folder: Path, config: RunConfig) -> None:
    copied = shutil.copytree(folder / "model", folder / "copied", dirs_exist_ok=True)
    assert engines.build(changed(folder, model=str(copied))) == engines.build(config)


@pytest.mark.parametrize("damage", ["cut", "flipped", "other settings", "no digests"])
def test_a_damaged_engine_is_built_again(config: RunConfig, capsys: pytest.CaptureFixture[str], damage: str) -> None:
    directory = engines.build(config)
    damaged(directory, damage)
    capsys.readouterr()
    assert engines.build(config) == directory
    assert "is damaged or not complete" in capsys.readouterr().err
    read_engine(directory)
    assert engines.build(config) == directory and capsys.readouterr().err == ""


def damaged(directory: Path, how: str) -> Path:
    tensors, about = directory / "engine.safetensors", directory / "engine.json"
    content = tensors.read_bytes()
    if how == "no digests":
        (directory / "SHA256SUMS").unlink()
    elif how == "other settings":
        about.write_text(about.read_text().replace('"calibration_seed": 0', '"calibration_seed": 1'))
    else:
        tensors.write_bytes(b"cut" if how == "cut" else content[:-1] + bytes([content[-1] ^ 1]))
    return directory


def test_a_place_that_cannot_be_written_is_named_before_the_build(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "engines").write_text("in the way")
    with pytest.raises(UsageError, match=r"expected to write an engine to .* Type another --cache-dir"):
        engines.build(changed(folder, cache_dir=tmp_path))


def test_a_damaged_engine_of_the_users_is_refused(folder: Path, config: RunConfig, tmp_path: Path) -> None:
    own = shutil.copytree(engines.build(config), tmp_path / "own")
    named = changed(folder, engine=own, log_dir=tmp_path / "logs")
    assert prepare(named).model.engine == own
    with pytest.raises(UsageError, match="found a damaged one: its SHA256SUMS does not match"):
        prepare(replace(named, engine=damaged(own, "flipped")))
    damaged(own, "no digests")  # as the first edition's
    assert prepare(named).model.engine == own


def test_two_builds_at_once_leave_one_engine(folder: Path) -> None:
    command = [sys.executable, "-m", "sut", "build", "--precision", "int8", "--calibration-samples", "5"]
    names = ["--model", folder / "model", "--vocab", VOCAB, "--dataset", folder / "dev.json"]
    line = [*command, *map(str, names), "--cache-dir", str(folder / "fresh")]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    builds = [subprocess.Popen(line, env=env, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = {build.communicate()[0].strip() for build in builds}
    assert [build.returncode for build in builds] == [0, 0]
    assert [str(path) for path in (folder / "fresh" / "engines").iterdir()] == list(said)
    read_engine(Path(said.pop()))


def test_calibration_on_the_data_that_is_run_gets_a_notice(folder: Path, tmp_path: Path) -> None:
    own = prepare(changed(folder, log_dir=tmp_path / "a"))
    named = prepare(changed(folder, log_dir=tmp_path / "b", calibration_dataset=folder / "dev.json"))
    other = prepare(changed(folder, log_dir=tmp_path / "c", calibration_dataset=folder / "train.json"))
    assert engines.OWN_DATA in own.notices and engines.OWN_DATA in named.notices
    assert engines.OWN_DATA not in other.notices
    assert own.model.engine == named.model.engine != other.model.engine


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_files_that_change_while_they_run_are_no_longer_submitted(folder: Path, tmp_path: Path, precision: str) -> None:
    model = shutil.copytree(folder / "model", tmp_path / "model")
    prepared = prepare(changed(folder, precision=precision, model=str(model), log_dir=tmp_path / "logs"))
    assert prepared.after_test() is prepared
    (model / "model.safetensors").touch()
    assert prepared.after_test().notices[-1].startswith("model.safetensors changed during the run: not submittable")
    if prepared.model.engine:
        (prepared.model.engine / "engine.json").touch()
        assert "model.safetensors, engine.json changed" in prepared.after_test().notices[-1]


def test_fp32_needs_no_engine(folder: Path, tmp_path: Path) -> None:
    prepared = prepare(resolve({**flags(folder), "log_dir": tmp_path / "logs"}))
    assert prepared.model.engine is None
    with pytest.raises(UsageError, match="int8"):
        engines.build(resolve(flags(folder)))


def test_a_calibration_list_of_the_run_data_gets_a_notice(folder: Path, tmp_path: Path) -> None:
    listed = tmp_path / "features.txt"
    listed.write_text("3 1 4\n", encoding="utf-8")
    rest = {name: value for name, value in flags(folder).items() if name != "calibration_samples"}
    expected = {**rest, "precision": "int8", "calibration_list": listed, "log_dir": tmp_path / "logs"}
    found = prepare(resolve(expected))
    assert engines.OWN_DATA in found.notices
    assert found.model.engine is not None
    assert read_engine(found.model.engine).settings["calibration_indices"] == [1, 3, 4]
    with pytest.raises(UsageError, match="--calibration-list"):
        resolve({**expected, "calibration_samples": 5})


def test_a_model_with_ranges_is_not_calibrated_unless_asked(folder: Path, tmp_path: Path) -> None:
    tensors = random_tensors(OWN, 3)
    names = ("qkv", "attention_output", "ffn_inner", "ffn_output")
    ranges = published.naive_ranges(OWN, tensors, {(layer, name): 8.0 for layer in range(2) for name in names})
    path = published.fake_quant_onnx(tmp_path, OWN, tensors, ranges)
    expected = {**flags(folder), "precision": "int8", "model": str(path)}
    rest = {name: value for name, value in expected.items() if name != "calibration_samples"}
    own, calibrated = (read_engine(engines.build(resolve(one))) for one in (rest, expected))
    assert own.settings["ranges_from"] == "the model itself"
    assert own.linear(1, "ffn_output").input_scale == pytest.approx(8 / 127)
    assert calibrated.settings["calibration_samples"] == 5


@pytest.mark.parametrize(("flag", "value"), [("--calibration-samples", "0"), ("--seed", "-1")])
def test_numbers_out_of_range_are_refused(flag: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", "--precision", "int8", flag, value]) == 2
    assert "error: expected --calibration-" in capsys.readouterr().err
