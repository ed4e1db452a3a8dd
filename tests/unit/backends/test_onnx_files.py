"""A user's .onnx file: the two published sets of input names, and files that are not graphs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from small_bert import random_batch, write_onnx

from backends import backend_class
from backends.base import Backend, Options
from backends.bert.checkpoints import find_model, with_signature
from backends.bert.heads import SPANS
from backends.bert.model import Model
from backends.errors import BackendError
from backends.formats.onnx_io_names import OUTPUTS

PUBLISHED = {
    "fp32": {"input_mask": "input_mask", "segment_ids": "segment_ids"},
    "fake-quant": {"input_mask": "attention_mask", "segment_ids": "token_type_ids"},
}


def onnx_backend(model: Model) -> Backend:
    backend = backend_class("onnxruntime")(Options())
    backend.load(model)
    return backend


@pytest.mark.parametrize("published", sorted(PUBLISHED))
def test_runs_a_graph_under_the_published_names(tmp_path: Path, model: Model, published: str) -> None:
    path = write_onnx(tmp_path / "model.onnx", model, PUBLISHED[published])
    batch = random_batch([1, 9, 64, 200])
    expected = onnx_backend(model).infer(batch)
    np.testing.assert_allclose(onnx_backend(find_model(str(path))).infer(batch), expected, atol=1e-5)


def test_other_input_names_are_refused_by_name(tmp_path: Path, model: Model) -> None:
    path = write_onnx(tmp_path / "model.onnx", model, {"input_ids": "pixels"})
    with pytest.raises(BackendError, match="pixels"):
        onnx_backend(find_model(str(path)))


@pytest.mark.parametrize("share", [0.0, 0.2, 0.9])
def test_a_graph_cut_short_is_named(tmp_path: Path, model: Model, share: float) -> None:
    path = write_onnx(tmp_path / "model.onnx", model, {})
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(BackendError, match=r"model\.onnx"):
        onnx_backend(find_model(str(path)))


def test_pytorch_says_which_backend_runs_a_graph(tmp_path: Path, model: Model) -> None:
    path = write_onnx(tmp_path / "model.onnx", model, {})
    with pytest.raises(BackendError, match="--backend onnxruntime"):
        backend_class("pytorch")(Options()).load(find_model(str(path)))


def largest_sums(path: Path) -> Path:
    """A graph in which each token's id, up to 255, is multiplied as a byte with 64 weights of 127; its logits."""
    constants = {
        "ones": np.ones((1, 1, 64), np.float32),
        "weight": np.full((64, 64), 127, np.int8),
        "one": np.float32(1),
        "zero": np.uint8(0),
        "none": np.int8(0),
        "first": np.int64(0),
    }
    nodes = [
        helper.make_node("Cast", ["input_ids"], ["ids"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["ids"], ["column"], axes=[2]),
        helper.make_node("Mul", ["column", "ones"], ["x"]),
        helper.make_node("QuantizeLinear", ["x", "one", "zero"], ["bytes"]),
        helper.make_node("DequantizeLinear", ["bytes", "one", "zero"], ["exact"]),
        helper.make_node("DequantizeLinear", ["weight", "one", "none"], ["factors"]),
        helper.make_node("MatMul", ["exact", "factors"], ["sums"]),
        *(helper.make_node("Gather", ["sums", "first"], [name], axis=2) for name in OUTPUTS[SPANS]),
    ]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"])
        for name in ("input_ids", "input_mask", "segment_ids")
    ]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", "length"]) for name in OUTPUTS[SPANS]]
    tensors = [numpy_helper.from_array(np.asarray(one), name) for name, one in constants.items()]
    graph = helper.make_graph(nodes, "largest", inputs, outputs, tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 12)], ir_version=8), path)
    return path


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_the_largest_sums_of_bytes_are_exact(tmp_path: Path, backend: str) -> None:
    model = with_signature(find_model(str(largest_sums(tmp_path / "model.onnx"))))
    batch = random_batch([5, 70], vocab_size=256)
    with backend_class(backend)(Options()) as engine:
        engine.load(model)
        found = np.array(engine.infer(batch))
    np.testing.assert_array_equal(found, np.stack([batch.input_ids * 64 * 127.0] * 2, axis=-1))
