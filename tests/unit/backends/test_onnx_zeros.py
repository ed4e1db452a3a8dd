"""The share of zero weights of a user's graph: dense, pruned, pruned and quantized; and of other files."""

from __future__ import annotations

from pathlib import Path

import pytest
from plain_onnx import write_plain_onnx

from backends.bert.model import Model
from backends.onnxruntime_cpu import sparsity
from backends.onnxruntime_cpu.sparsity import GraphWeights


def share(path: Path, model: Model, zeros: float, quantized: bool) -> float:
    found = sparsity.measure(write_plain_onnx(path, model, zeros=zeros, quantized=quantized)).zeros
    assert found is not None
    return found


def test_pruned_weights_are_counted(tmp_path: Path, model: Model) -> None:
    path = tmp_path / "model.onnx"
    assert share(path, model, 0, quantized=False) == 0
    few, many = (share(path, model, zeros, quantized=False) for zeros in (0.5, 0.95))
    assert 0.2 < few < 0.5 < many < 0.95  # embeddings are weights too, and are not pruned
    assert many / few == pytest.approx(0.95 / 0.5, rel=0.01)


def test_a_quantized_zero_is_its_zero_point(tmp_path: Path, model: Model) -> None:
    path = tmp_path / "model.onnx"
    fp32, int8 = (share(path, model, 0.8, quantized=quantized) for quantized in (False, True))
    assert fp32 <= int8 < fp32 + 0.05  # rounding adds a few zeros


def test_a_file_that_is_not_a_graph_has_no_share(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"no graph")
    assert sparsity.measure(path) == GraphWeights()
    assert sparsity.measure(tmp_path / "nowhere.onnx") == GraphWeights()
