"""ONNX Runtime's int8 against the numpy twin, calibrated, and against fp32, dynamic."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import published
import pytest
from small_bert import SMALL, random_batch, random_tensors

from backends import backend_class
from backends.base import Backend, Batch, Options
from backends.bert.checkpoints import find_model, read_tensors
from backends.bert.model import Model
from backends.bert.numpy_reference import infer
from backends.errors import BackendError
from backends.quantization.calibration import CalibrationSettings, calibrate
from backends.quantization.int8_model import QuantizedModel, write_engine

LENGTHS = [1, 2, 40, 64, 65, 200, 384]


@pytest.fixture(scope="module")
def quantized() -> QuantizedModel:
    samples = [random_batch([length], seed=length) for length in range(10, 90, 4)]
    settings = CalibrationSettings(alphas=(0.5,))  # every layer is balanced
    return calibrate(SMALL, random_tensors(SMALL, 1), samples, settings, threads=1)


@pytest.fixture(scope="module")
def engine(quantized: QuantizedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_engine(tmp_path_factory.mktemp("engines") / "small", quantized)


def backend(model: Model, precision: str) -> Backend:
    loaded = backend_class("onnxruntime")(Options(precision))
    loaded.load(model)
    return loaded


def distance(found: np.ndarray, expected: np.ndarray) -> float:
    """The mean difference relative to the mean magnitude."""
    return float(np.abs(found - expected).mean() / np.abs(expected).mean())


def test_it_agrees_with_the_twin(quantized: QuantizedModel, engine: Path, model: Model) -> None:
    batch = random_batch(LENGTHS)
    # A value between two steps may round either way, which is visible a layer later; a wrong scale is worse.
    assert distance(backend(replace(model, engine=engine), "int8").infer(batch), infer(quantized, batch)) < 0.01


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2 :] = bytes(one ^ 0xFF for one in content[len(content) // 2 :])
    path.write_bytes(content)


def empty(directory: Path) -> None:
    for path in directory.iterdir():
        path.unlink()


DAMAGE: dict[str, Callable[[Path], object]] = {
    "a graph cut short": lambda ready: os.truncate(ready / "graph.onnx", 40),
    "a flipped graph": lambda ready: flip(ready / "graph.onnx"),
    "weights cut short": lambda ready: os.truncate(ready / "graph.weights", 1000),
    "flipped weights": lambda ready: flip(ready / "graph.weights"),
    "nothing": empty,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_an_optimized_graph_that_is_damaged_is_written_again(
    quantized: QuantizedModel, engine: Path, model: Model, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    model, batch = replace(model, engine=engine), random_batch([30])
    expected = backend(model, "int8").infer(batch)
    ready = next(engine.glob("onnxruntime-*"))
    DAMAGE[damage](ready)
    capsys.readouterr()
    np.testing.assert_array_equal(backend(model, "int8").infer(batch), expected)
    assert "is damaged: it is written again" in capsys.readouterr().err
    np.testing.assert_array_equal(backend(model, "int8").infer(batch), expected)
    assert capsys.readouterr().err == ""


def test_an_optimized_graph_that_cannot_be_written_costs_only_memory(
    quantized: QuantizedModel, model: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, batch = replace(model, engine=write_engine(tmp_path / "small", quantized)), random_batch([30])
    expected = backend(model, "int8").infer(batch)
    ready = next((tmp_path / "small").glob("onnxruntime-*"))
    shutil.rmtree(ready)
    ready.write_text("in the way")
    np.testing.assert_allclose(backend(model, "int8").infer(batch), expected, atol=1e-5)
    assert "not shared in memory" in capsys.readouterr().err


@pytest.mark.parametrize("precision", ["int8", "int8-dynamic"])
def test_it_is_near_fp32(engine: Path, model: Model, precision: str) -> None:
    batch = random_batch([30, 60, 90])
    assert distance(backend(replace(model, engine=engine), precision).infer(batch), fp32(model, batch)) < 0.1


def fp32(model: Model, batch: Batch) -> np.ndarray:
    return backend(model, "fp32").infer(batch)


def test_padding_changes_no_calibrated_answer(engine: Path, model: Model) -> None:
    both, one = random_batch([40, 200], seed=1), random_batch([40], seed=1)
    loaded = backend(replace(model, engine=engine), "int8")
    assert distance(loaded.infer(both)[:40], loaded.infer(one)) < 0.01


def test_a_second_session_uses_the_cached_graph_of_the_first(engine: Path, model: Model) -> None:
    batch = random_batch([40])
    first = backend(replace(model, engine=engine), "int8").infer(batch)
    ready = sorted(path for path in engine.rglob("graph.*") if "onnxruntime" in path.parent.name)
    assert [path.name for path in ready] == ["graph.onnx", "graph.weights"]
    written = [path.stat().st_mtime_ns for path in ready]
    np.testing.assert_array_equal(backend(replace(model, engine=engine), "int8").infer(batch), first)
    assert [path.stat().st_mtime_ns for path in ready] == written


def test_without_an_engine_it_says_what_to_type(model: Model) -> None:
    with pytest.raises(BackendError, match="sut build"):
        backend(model, "int8")


def test_the_weights_of_an_exported_graph_are_quantized(tmp_path: Path, model: Model) -> None:
    batch = random_batch([30, 60])
    graph = find_model(str(published.mlperf_onnx(tmp_path, SMALL, read_tensors(model))))
    found = backend(graph, "int8-dynamic").infer(batch)
    np.testing.assert_allclose(found, backend(model, "int8-dynamic").infer(batch), atol=1e-4)


def test_channels_without_values_can_be_calibrated(model: Model) -> None:
    """A channel that is always 0, with weights that are all 0."""
    tensors = read_tensors(model)
    for layer in range(SMALL.num_hidden_layers):
        at = f"bert.encoder.layer.{layer}.attention.output.LayerNorm"
        tensors[f"{at}.weight"][3] = tensors[f"{at}.bias"][3] = 0
        tensors[f"bert.encoder.layer.{layer}.intermediate.dense.weight"][:, 3] = 0
    samples = [random_batch([50], seed=seed) for seed in range(4)]
    found = calibrate(SMALL, tensors, samples, CalibrationSettings(alphas=(0.5,)), threads=1)
    assert np.isfinite(infer(found, samples[0])).all()
