"""A user's .onnx file: the two published sets of input names, and files that are not graphs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_bert import random_batch, write_onnx

from backends import backend_class
from backends.base import Backend, Options
from backends.bert.checkpoints import find_model
from backends.bert.model import Model
from backends.errors import BackendError

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
