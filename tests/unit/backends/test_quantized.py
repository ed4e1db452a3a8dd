"""The quantized model: its formula, its numpy reference, and its directory, complete or broken."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_bert import SMALL, random_batch, random_tensors, round_to_nearest

from backends import backend_class
from backends.base import Options
from backends.bert.config import LINEARS
from backends.bert.model import Model
from backends.bert.numpy_reference import gelu, infer, linear
from backends.errors import BackendError
from backends.quantization.int8_model import QuantizedLinear, QuantizedModel, read_engine, write_engine


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
    assert len({path.stat().st_mode for path in (tmp_path / "engines" / "one").iterdir()}) == 1


def test_two_writers_of_one_engine_leave_one(quantized: QuantizedModel, tmp_path: Path) -> None:
    writers = [threading.Thread(target=write_engine, args=(tmp_path / "one", quantized)) for _ in range(6)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [path.name for path in tmp_path.iterdir()] == ["one"]
    read_engine(tmp_path / "one")


def settings(text: str) -> Callable[[Path], object]:
    return lambda engine: (engine / "engine.json").write_text(text)


def config(**values: object) -> Callable[[Path], object]:
    def change(engine: Path) -> None:
        about = json.loads((engine / "engine.json").read_text())
        (engine / "engine.json").write_text(json.dumps(about | {"config": about["config"] | values}))

    return change


def header(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    """Another header of the same tensors."""

    def write(engine: Path) -> None:
        path = engine / "engine.safetensors"
        content = path.read_bytes()
        end = 8 + int.from_bytes(content[:8], "little")
        found = json.loads(content[8:end])
        text = json.dumps(change(found) or found).encode()
        path.write_bytes(len(text).to_bytes(8, "little") + text + content[end:])

    return write


def cut(name: str, keep: float) -> Callable[[Path], object]:
    return lambda engine: os.truncate(engine / name, int((engine / name).stat().st_size * keep))


def fifo(engine: Path) -> None:
    (engine / "engine.safetensors").unlink()
    os.mkfifo(engine / "engine.safetensors")


NAME = "layers.1.qkv.weight"
BROKEN: dict[str, Callable[[Path], object]] = {
    **{
        f"{name} cut to {keep}": cut(name, keep) for name in ("engine.json", "engine.safetensors") for keep in (0, 0.99)
    },
    "settings that are a list": settings('{"config": {}, "settings": []}'),
    "no settings": settings('{"config": {}}'),
    "a list": settings("[]"),
    "deep": settings('{"a": ' * 10_000 + "1" + "}" * 10_000),
    "text for a size": config(hidden_size="64"),
    "a head that is unknown": config(head="mouths"),
    "layers without end": config(num_hidden_layers=10**9),
    "sizes without end": config(vocab_size=10**12),
    "a header that is a list": header(lambda found: [found]),
    "a type that is unknown": header(lambda found: found[NAME].update(dtype="F99")),
    "another type": header(lambda found: found[NAME].update(dtype="U8")),
    "another shape": header(lambda found: found[NAME].update(shape=[1])),
    "offsets that are text": header(lambda found: found[NAME].update(data_offsets="ab")),
    "a header longer than the file": lambda engine: (engine / "engine.safetensors").write_bytes(b"\xff" * 100),
    "a pipe": fifo,
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_engine_is_named_and_written_over(quantized: QuantizedModel, tmp_path: Path, how: str) -> None:
    """Also one without digests, which --engine may name."""
    engine = write_engine(tmp_path / "one", quantized)
    BROKEN[how](engine)
    with pytest.raises(BackendError, match="one"):
        read_engine(engine)
    write_engine(engine, quantized)
    read_engine(engine)


def test_no_engine_is_an_error_that_says_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="sut build"):
        read_engine(tmp_path / "nowhere")
