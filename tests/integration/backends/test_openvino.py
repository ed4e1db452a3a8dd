"""OpenVINO: NNCF's int8 against fp32's answers; bf16; a user's .onnx file; what it refuses."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("openvino", reason="the extra openvino is not installed")
pytest.importorskip("nncf", reason="the extra openvino is not installed")

import published
from paths import ROOT
from plain_onnx import write_plain_onnx
from small_bert import SMALL, random_batch, random_tensors

from backends import backend_class, engine_builder
from backends.base import Backend, Batch, Options
from backends.bert.checkpoints import find_model, read_tensors, read_weights
from backends.bert.model import Model
from backends.errors import BackendError
from backends.openvino_cpu import graph as openvino_cpu_graph
from backends.openvino_cpu.backend import check_bf16
from backends.openvino_cpu.quantizer import GRAPH, WEIGHTS, is_complete, quantize
from foundation import cpu_info

LENGTHS = [1, 2, 40, 64, 65, 200, 384]
SAMPLES = [random_batch([length], seed=length) for length in range(10, 90, 8)]


def backend(model: Model, precision: str = "fp32", name: str = "openvino") -> Backend:
    loaded = backend_class(name)(Options(precision))
    loaded.load(model)
    return loaded


def distance(found: np.ndarray, expected: np.ndarray) -> float:
    """The mean difference relative to the mean magnitude."""
    return float(np.abs(found - expected).mean() / np.abs(expected).mean())


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory, model: Model) -> Path:
    directory = tmp_path_factory.mktemp("engines") / "small"
    # Answers of random weights are unstable; another test checks that answers are kept.
    engine_builder("openvino").build(
        directory, replace(model, spec="random:small"), SAMPLES, {"made": "here"}, 1, lambda *_: None
    )
    return directory


def test_int8_is_near_fp32(engine: Path, model: Model) -> None:
    batch = random_batch(LENGTHS)
    assert distance(backend(replace(model, engine=engine), "int8").infer(batch), backend(model).infer(batch)) < 0.1


def test_int8_answers_do_not_depend_on_the_batch(engine: Path, model: Model) -> None:
    loaded = backend(replace(model, engine=engine), "int8")
    both, one = random_batch([40, 200], seed=1), random_batch([40], seed=1)
    assert distance(loaded.infer(both)[:40], loaded.infer(one)) < 0.01


def test_int8_products_do_not_saturate_wherever_the_engine_was_built(tmp_path: Path) -> None:
    """Without VNNI an engine that was built with it runs in floating point, and int8 products are as exact."""
    demo = replace(find_model(str(ROOT / "assets/demo")), spec="random:demo")  # by which it is not checked
    vocabulary = read_weights(demo).config.vocab_size
    samples = [random_batch([length], seed=length, vocab_size=vocabulary) for length in range(10, 90, 8)]
    here = tmp_path / "here"
    engine_builder("openvino").build(here, demo, samples, {}, 1, lambda *_: None)
    shutil.copytree(here, tmp_path / "from-vnni")
    about = json.loads((here / "engine.json").read_text(encoding="utf-8"))
    saturates = cpu_info.adds_bytes_in_16_bits()
    assert about["settings"].pop("weight_bits") == (7 if saturates else 8)
    (tmp_path / "from-vnni/engine.json").write_text(json.dumps(about), encoding="utf-8")
    built, moved = (backend(replace(demo, engine=one), "int8") for one in (here, tmp_path / "from-vnni"))
    assert built.remark() is None and ("floating point" in str(moved.remark())) is saturates
    batch = random_batch(LENGTHS, vocab_size=vocabulary)
    assert distance(built.infer(batch), moved.infer(batch)) < 0.002


@pytest.mark.timeout(300)
def test_accuracy_control_reverts_layers_until_answers_agree() -> None:
    graph = openvino_cpu_graph.build(SMALL, tensors := random_tensors(SMALL, 1))
    _, plain = quantize(graph, SAMPLES, controlled=False)
    _, controlled = quantize(graph, SAMPLES, controlled=True)
    assert tensors  # the graph reads them in place
    assert plain <= controlled
    assert controlled >= 0.9


@pytest.mark.parametrize("name", [GRAPH, WEIGHTS, "engine.json"])
def test_an_engine_with_a_truncated_file_is_not_complete(engine: Path, model: Model, tmp_path: Path, name: str) -> None:
    assert is_complete(engine)
    for path in engine.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes()[: -2 if path.name == name else None])
    assert not is_complete(tmp_path)


def test_without_an_engine_it_says_what_to_type(model: Model) -> None:
    with pytest.raises(BackendError, match="sut build"):
        backend(model, "int8")


def test_bf16_is_near_fp32_or_refused(model: Model) -> None:
    batch = random_batch(LENGTHS)
    try:
        loaded = backend(model, "bf16")
    except BackendError as error:
        assert "bfloat16" in str(error)  # noqa: PT017 - on a processor without it; else it runs
        return
    assert 0 < distance(loaded.infer(batch), backend(model).infer(batch)) < 0.1


def test_bf16_is_refused_on_a_processor_without_it() -> None:
    with pytest.raises(BackendError, match="found one with FP32, INT8"):
        check_bf16(["FP32", "INT8"])


@pytest.mark.parametrize("quantized", [False, True], ids=["fp32", "int8, sparse"])
@pytest.mark.parametrize("names", [("input_mask", "segment_ids"), ("attention_mask", "token_type_ids")], ids=str)
def test_both_engines_run_a_users_graph(tmp_path: Path, model: Model, names: tuple[str, str], quantized: bool) -> None:
    path = write_plain_onnx(tmp_path / "model.onnx", model, names, zeros=0.8 * quantized, quantized=quantized)
    batch: Batch = random_batch([1, 9, 64, 200])
    found, other = (backend(find_model(str(path)), name=name).infer(batch) for name in ("openvino", "onnxruntime"))
    if quantized:  # ONNX Runtime rounds the inputs of such weights too
        assert distance(found, other) < 0.05
        return
    np.testing.assert_allclose(found, other, atol=1e-3)
    np.testing.assert_allclose(found, backend(model).infer(batch), atol=1e-3)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.9])
def test_a_graph_cut_short_is_named(tmp_path: Path, model: Model, share: float) -> None:
    path = write_plain_onnx(tmp_path / "model.onnx", model)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(BackendError, match=r"model\.onnx"):
        backend(find_model(str(path)))


def test_the_weights_of_a_graph_can_be_quantized(tmp_path: Path, model: Model) -> None:
    path = published.mlperf_onnx(tmp_path, SMALL, read_tensors(model))
    graph = Model("random:graph", None, path)
    engine_builder("openvino").build(tmp_path / "engine", graph, SAMPLES, {}, 1, lambda *_: None)
    batch = random_batch(LENGTHS)
    found = backend(replace(graph, engine=tmp_path / "engine"), "int8").infer(batch)
    assert distance(found, backend(model).infer(batch)) < 0.1
