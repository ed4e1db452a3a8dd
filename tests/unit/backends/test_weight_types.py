"""The types that a model file stores its weights in, whatever quantized it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import safetensors.numpy
from onnx import TensorProto, helper

from backends.formats import weight_types

FP32, INT8, UINT8, FP16 = TensorProto.FLOAT, TensorProto.INT8, TensorProto.UINT8, TensorProto.FLOAT16
Node = tuple[str, list[str], list[str]]


def written(path: Path, tensors: Mapping[str, tuple[int, list[int]]], *nodes: Node, **attributes: Any) -> Path:
    """A graph of these weights, which are outside of it, and nodes. It is never run."""
    initializers = []
    for name, (kind, dims) in tensors.items():
        initializers.append(TensorProto(name=name, data_type=kind, dims=dims, data_location=TensorProto.EXTERNAL))
        initializers[-1].external_data.add(key="location", value="weights.bin")
    made = [helper.make_node(op, inputs, outputs, **attributes) for op, inputs, outputs in nodes]
    onnx.save(helper.make_model(helper.make_graph(made, "g", [], [], initializers)), path)
    return path


LINEAR, VECTOR, INDEXES = [8, 8], [8], [1, 512]
MATMUL = ("MatMul", ["x", "w"], ["y"])
CASES: dict[str, tuple[dict[str, tuple[int, list[int]]], tuple[Node, ...], str]] = {
    "fp32": ({"w": (FP32, LINEAR), "ids": (TensorProto.INT64, INDEXES)}, (MATMUL,), "fp32"),
    "fp16": ({"w": (FP16, LINEAR), "b": (FP32, VECTOR)}, (MATMUL,), "fp16"),
    "bf16": ({"w": (TensorProto.BFLOAT16, LINEAR)}, (MATMUL,), "bf16"),
    "fp8": ({"w": (TensorProto.FLOAT8E4M3FN, LINEAR)}, (MATMUL,), "fp8"),
    "dynamic": (
        {"w": (UINT8, LINEAR), "s": (FP32, VECTOR), "table": (FP32, [10, 8])},
        (("DynamicQuantizeLinear", ["x"], ["q", "qs", "qz"]), ("MatMulInteger", ["q", "w", "qz"], ["y"])),
        "int8",
    ),
    "QDQ": (
        {"w": (INT8, LINEAR)},
        (("DequantizeLinear", ["w", "s", "z"], ["d"]), ("MatMul", ["x", "d"], ["y"])),
        "int8",
    ),
    "fake quantization": (
        {"w": (FP32, LINEAR)},
        (("Transpose", ["w"], ["t"]), ("QuantizeLinear", ["t", "s", "z"], ["q"]), ("DequantizeLinear", ["q"], ["d"])),
        "int8",
    ),
    "quantized activations only": (
        {"w": (FP32, LINEAR)},
        (("QuantizeLinear", ["x", "s", "z"], ["q"]), ("DequantizeLinear", ["q"], ["d"]), MATMUL),
        "fp32",
    ),
    "a loop": (
        {"w": (FP32, LINEAR)},
        (("Identity", ["a"], ["b"]), ("Identity", ["b"], ["a"]), ("QuantizeLinear", ["a", "s"], ["q"])),
        "fp32",
    ),
    "a few int8": ({"w": (FP32, [100, 8]), "mask": (UINT8, LINEAR)}, (MATMUL,), "fp32"),
}


@pytest.mark.parametrize("case", CASES)
def test_graphs(tmp_path: Path, case: str) -> None:
    tensors, nodes, expected = CASES[case]
    path = written(tmp_path / "model.onnx", tensors, *nodes)
    found = weight_types.of_files([path, tmp_path / "weights.bin"])  # the second need not be there
    assert weight_types.narrowest(found) == expected
    assert sum(found.values()) == pytest.approx(1, abs=1e-3)


def test_packed_integers(tmp_path: Path) -> None:
    tensors = {"w": (UINT8, [8, 2, 4])}
    path = written(tmp_path / "model.onnx", tensors, ("MatMulNBits", ["x", "w", "s"], ["y"]), bits=4)
    assert weight_types.of_files([path]) == {"int4": 1.0}


@pytest.mark.parametrize(("dtype", "word"), [(np.float32, "fp32"), (np.float16, "fp16"), (np.float64, "fp64")])
def test_files_of_tensors(tmp_path: Path, dtype: type[np.generic], word: str) -> None:
    path = tmp_path / "model.safetensors"
    safetensors.numpy.save_file({"w": np.zeros((4, 4), dtype), "b": np.zeros(4, np.int8)}, path)
    assert weight_types.of_files([tmp_path / "model.safetensors.index.json", path]) == {word: 1.0}


def test_files_that_cannot_be_read_have_no_types(tmp_path: Path) -> None:
    for name in ("model.onnx", "model.safetensors"):
        (tmp_path / name).write_bytes(b"cut")
        assert weight_types.of_files([tmp_path / name]) == {}
    assert weight_types.of_files([tmp_path / "nowhere.onnx"]) == weight_types.of_files([]) == {}
    assert weight_types.narrowest({}) is None
