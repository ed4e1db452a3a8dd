"""The quantized model: its formula, its numpy reference, and its directory, complete or broken."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from small_bert import SMALL, random_batch, random_tensors, round_to_nearest

from backends import backend_class
from backends.base import Options
from backends.bert.model import Model
from backends.bert.numpy_reference import gelu, infer, linear
from backends.errors import BackendError
from backends.quantization.int8_model import LINEARS, QuantizedLinear, QuantizedModel, read_engine, write_engine


@pytest.fixture(scope="module")
def quantized() -> QuantizedModel:
    return round_to_nearest(SMALL, random_tensors(SMALL, 1))


def test_a_linear_layer_by_hand() -> None:
    layer = QuantizedLinear(
        weight=np.array([[10, -20], [127, 0]], np.int8),
        weight_scale=np.array([0.5, 0.01], np.float32),
        bias=np.array([1.0, -1.0], np.float32),
        input_scale=0.1,
        input_zero_point=100,
        input_smooth=np.array([1.0, 4.0], np.float32),
    )
    x = np.array([[0.25, -0.4], [99.0, -99.0]], np.float32)
    # 0.25 / 0.1 = 2.5 rounds to the even 2; the second row is clipped at both limits.
    np.testing.assert_array_equal(layer.quantize(x), [[102, 99], [255, 0]])
    np.testing.assert_allclose(linear(layer, x)[0], [(2 * 10 + 20) * 0.05 + 1, 2 * 127 * 0.001 - 1], rtol=1e-6)


def test_gelu_is_the_exact_one() -> None:
    found = gelu(np.array([-3.0, -1.0, 0.0, 0.5, 2.0], np.float32))
    np.testing.assert_allclose(found, [-0.00404969, -0.15865525, 0.0, 0.34573123, 1.95449974], atol=1e-6)


def test_the_twin_is_near_the_float_model(quantized: QuantizedModel, model: Model) -> None:
    batch = random_batch([1, 7, 64, 200])
    backend = backend_class("onnxruntime")(Options())
    backend.load(model)
    expected = backend.infer(batch)
    assert np.abs(infer(quantized, batch) - expected).mean() < 0.1 * np.abs(expected).mean()


def test_the_twin_keeps_samples_apart(quantized: QuantizedModel) -> None:
    both, one = random_batch([40, 30], seed=1), random_batch([40], seed=1)
    np.testing.assert_allclose(infer(quantized, both)[:40], infer(quantized, one), atol=1e-4)


def test_an_engine_is_read_as_it_was_written_and_mapped(quantized: QuantizedModel, tmp_path: Path) -> None:
    found = read_engine(write_engine(tmp_path / "engines" / "one", quantized))
    assert found.config == SMALL and found.settings == quantized.settings
    for name, tensor in quantized.tensors.items():
        np.testing.assert_array_equal(found.tensors[name], tensor)
        assert found.tensors[name].dtype == tensor.dtype
        assert isinstance(found.tensors[name], np.memmap) and not found.tensors[name].flags.writeable
    assert {found.linear(2, name).weight.dtype for name in LINEARS} == {np.dtype(np.int8)}
    assert sorted(path.name for path in (tmp_path / "engines").iterdir()) == ["one"]


def test_two_writers_of_one_engine_leave_one(quantized: QuantizedModel, tmp_path: Path) -> None:
    writers = [threading.Thread(target=write_engine, args=(tmp_path / "one", quantized)) for _ in range(6)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [path.name for path in tmp_path.iterdir()] == ["one"]
    read_engine(tmp_path / "one")


@pytest.mark.parametrize("broken", ["engine.json", "engine.safetensors"])
@pytest.mark.parametrize("keep", [0, 0.5, 0.99])
def test_a_broken_engine_is_named_and_written_over(
    quantized: QuantizedModel, tmp_path: Path, broken: str, keep: float
) -> None:
    path = write_engine(tmp_path / "one", quantized) / broken
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    with pytest.raises(BackendError, match="one"):
        read_engine(tmp_path / "one")
    write_engine(tmp_path / "one", quantized)
    read_engine(tmp_path / "one")


def test_no_engine_is_an_error_that_says_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="sut build"):
        read_engine(tmp_path / "nowhere")
