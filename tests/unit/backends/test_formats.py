"""One small model in every published format: backends agree, and every fault is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import published
import pytest
import torch
from published import FLOAT, ROUNDED
from safetensors.numpy import load_file, save_file
from small_bert import SMALL, random_batch, random_tensors

from backends import backend_class
from backends.base import Batch, Options
from backends.bert.checkpoints import find_model, has_ranges, read_tensors, read_weights, weight_files
from backends.bert.config import LINEARS
from backends.errors import BackendError
from backends.formats.base import Tensors
from backends.quantization import qat_ranges
from backends.quantization.int8_model import write_engine

ENGINES = ("onnxruntime", "pytorch")  # which run our own int8 engines
FLOAT_ENGINES = (*ENGINES, "openvino")
Write = Callable[..., Path]


@pytest.fixture(scope="module")
def tensors() -> Tensors:
    return random_tensors(SMALL, 1)


@pytest.fixture(scope="module")
def ranges(tensors: Tensors) -> published.Ranges:
    return published.naive_ranges(SMALL, tensors, published.greatest(SMALL, tensors, [random_batch([60])]))


def answer(engine: str, path: Path, batch: Batch, precision: str = "fp32", built: Path | None = None) -> np.ndarray:
    backend = backend_class(engine)(Options(precision))
    backend.load(replace(find_model(str(path)), engine=built))
    return backend.infer(batch)


@pytest.mark.parametrize("form", FLOAT)
@pytest.mark.parametrize("engine", FLOAT_ENGINES)
def test_every_format_gives_the_same_logits(tmp_path: Path, tensors: Tensors, form: str, engine: str) -> None:
    batch = random_batch([1, 9, 64, 200])
    expected = answer("onnxruntime", published.safetensors(tmp_path / "plain", SMALL, tensors), batch)
    path = FLOAT[form](tmp_path / "published", SMALL, tensors)
    assert np.abs(expected).max() > 1
    np.testing.assert_allclose(answer(engine, path, batch), expected, atol=1e-3)
    for name, tensor in read_tensors(find_model(str(path))).items():
        np.testing.assert_array_equal(tensor, tensors[name])


def test_todays_exporter_is_read_too(tmp_path: Path, model_dir: Path, tensors: Tensors) -> None:
    from benchmarks.peers.export import plain_onnx

    path = plain_onnx(find_model(str(model_dir)), tmp_path)
    weights = read_weights(find_model(str(path)))
    assert replace(weights.config, layer_norm_eps=SMALL.layer_norm_eps) == SMALL
    for name, tensor in weights.tensors.items():
        np.testing.assert_array_equal(tensor, tensors[name])


@pytest.mark.parametrize("form", ROUNDED)
def test_ranges_are_those_of_the_publisher(
    tmp_path: Path, tensors: Tensors, ranges: published.Ranges, form: str
) -> None:
    model = find_model(str(ROUNDED[form](tmp_path, SMALL, tensors, ranges)))
    assert has_ranges(model)
    weights = read_weights(model)
    assert weights.ranges.keys() == ranges.keys()
    for name, found in weights.ranges.items():
        assert found.input_scale == pytest.approx(ranges[name].input_scale)
        assert found.input_zero_point == 128
        np.testing.assert_allclose(found.weight_scale, ranges[name].weight_scale, rtol=1e-6)


def test_the_engine_computes_what_the_fake_quant_graph_does(
    tmp_path: Path, tensors: Tensors, ranges: published.Ranges
) -> None:
    batch = random_batch([30, 60])
    graph = published.fake_quant_onnx(tmp_path, SMALL, tensors, ranges)
    expected = answer("onnxruntime", graph, batch)
    built = write_engine(tmp_path / "engine", qat_ranges.quantize(read_weights(find_model(str(graph))), {}))
    for engine in ENGINES:
        found = answer(engine, graph, batch, "int8", built)
        assert np.abs(found - expected).mean() < 0.03 * np.abs(expected).mean()


def test_both_rounded_formats_make_the_same_engine(tmp_path: Path, tensors: Tensors, ranges: published.Ranges) -> None:
    paths = [write(tmp_path / form, SMALL, tensors, ranges) for form, write in ROUNDED.items()]
    first, second = (qat_ranges.quantize(read_weights(find_model(str(path))), {}) for path in paths)
    for layer in range(SMALL.num_hidden_layers):
        for name in LINEARS:
            np.testing.assert_array_equal(first.linear(layer, name).weight, second.linear(layer, name).weight)


def test_a_layer_without_a_range_is_named(tmp_path: Path, tensors: Tensors, ranges: published.Ranges) -> None:
    name = "bert.encoder.layer.1.intermediate.dense"
    rest = {at: one for at, one in ranges.items() if at != name}
    weights = read_weights(find_model(str(published.fake_quant_onnx(tmp_path, SMALL, tensors, rest))))
    with pytest.raises(BackendError, match=f"{name}.*--calibration-dataset"):
        qat_ranges.quantize(weights, {})


# Faults.


@pytest.mark.parametrize("form", FLOAT)
@pytest.mark.parametrize("share", [0.0, 0.5, 0.98])
def test_a_file_cut_short_is_named(tmp_path: Path, tensors: Tensors, form: str, share: float) -> None:
    model = find_model(str(FLOAT[form](tmp_path, SMALL, tensors)))
    file = weight_files(model)[-1]
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])
    with pytest.raises(BackendError, match=file.name):
        read_weights(model)


@pytest.mark.parametrize("form", sorted(set(FLOAT) - {"MLPerf ONNX"}))
def test_missing_wrong_and_extra_tensors_are_named(tmp_path: Path, tensors: Tensors, form: str) -> None:
    name = "bert.encoder.layer.2.output.dense.weight"
    changes: tuple[Tensors, ...] = (
        {at: tensor for at, tensor in tensors.items() if at != name},
        tensors | {name: np.zeros((7, 64), np.float32)},
        {**tensors, f"{name}.more": np.zeros((2, 2), np.float32)},
    )
    for number, changed in enumerate(changes):
        with pytest.raises(BackendError, match=name):
            read_weights(find_model(str(FLOAT[form](tmp_path / str(number), SMALL, changed))))


def test_missing_shards_and_shards_without_their_tensors_are_named(tmp_path: Path, tensors: Tensors) -> None:
    folder = published.sharded_safetensors(tmp_path, SMALL, tensors)
    shard = folder / "model-00002-of-00003.safetensors"
    held = load_file(shard)
    lost = held.popitem()[0]
    save_file(held, shard)
    with pytest.raises(BackendError, match=lost):
        read_weights(find_model(str(folder)))
    shard.unlink()
    with pytest.raises(BackendError, match=shard.name):
        read_weights(find_model(str(folder)))
    (folder / "model.safetensors.index.json").write_text("[]", encoding="utf-8")
    with pytest.raises(BackendError, match="weight_map"):
        read_weights(find_model(str(folder)))


def test_a_pickle_with_code_is_refused_as_such(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (exec, (f"open({str(tmp_path / 'sprung')!r}, 'w')",))

    published.write_config(tmp_path, SMALL, "bert_config.json")
    torch.save({"bert": Trap()}, tmp_path / "model.pytorch")
    with pytest.raises(BackendError, match="would run code"):
        read_weights(find_model(str(tmp_path / "model.pytorch")))
    assert not (tmp_path / "sprung").exists()


def test_a_state_dict_needs_a_config_unless_its_geometry_is_a_published_one(tmp_path: Path, tensors: Tensors) -> None:
    published.mlperf_pytorch(tmp_path, SMALL, tensors)
    (tmp_path / "bert_config.json").unlink()
    with pytest.raises(BackendError, match=r"config\.json next to .*model\.pytorch"):
        read_weights(find_model(str(tmp_path / "model.pytorch")))
    tiny = find_model("random:bert-tiny").config
    assert tiny is not None
    published.mlperf_pytorch(tmp_path, tiny, random_tensors(tiny, 1))
    (tmp_path / "bert_config.json").unlink()
    assert read_weights(find_model(str(tmp_path / "model.pytorch"))).config == tiny


def test_an_invalid_range_is_named(tmp_path: Path, tensors: Tensors, ranges: published.Ranges) -> None:
    name = "bert.encoder.layer.0.output.dense"
    broken = {**ranges, name: replace(ranges[name], input_scale=float("nan"))}
    with pytest.raises(BackendError, match=f"{name}._input_quantizer._amax"):
        read_weights(find_model(str(published.mlperf_int8(tmp_path, SMALL, tensors, broken))))


Change = Callable[[Any], None]


def _rename(op: str, to: str) -> Change:
    def change(graph: Any) -> None:
        next(node for node in graph.node if node.op_type == op).op_type = to

    return change


def _lose_a_weight(graph: Any) -> None:
    del graph.initializer[next(i for i, one in enumerate(graph.initializer) if list(one.dims) == [64, 160])]


def _resize_a_weight(graph: Any) -> None:
    old = next(one for one in graph.initializer if list(one.dims) == [64, 160])
    old.CopyFrom(onnx.numpy_helper.from_array(np.zeros((64, 90), np.float32), old.name))


def _scale_otherwise(graph: Any) -> None:
    """As for heads of another size."""
    softmax = next(node for node in graph.node if node.op_type == "Softmax")
    sums = next(node for node in graph.node if node.output[0] == softmax.input[0])
    root = next(node for node in graph.node if node.output[0] == sums.input[0]).input[1]
    next(one for one in graph.initializer if one.name == root).CopyFrom(
        onnx.numpy_helper.from_array(np.array(1, np.float32), root)
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_scale_otherwise, r"multiplied by 0\.25 before the softmax, not 1,"),
        (_rename("Erf", "Tanh"), "exact GELU"),
        (_rename("Softmax", "Sigmoid"), "softmax"),
        (_rename("Split", "Identity"), "half of the logits"),
        (_rename("Sqrt", "Exp"), "LayerNorm"),
        (_lose_a_weight, "which a MatMul of .*reads, found none"),
        (_resize_a_weight, r"intermediate\.dense.*\(90"),
    ],
    ids=["scale", "tanh", "sigmoid", "one output", "no root", "missing", "shape"],
)
def test_a_graph_that_is_not_a_bert_is_refused_with_the_tensor(
    tmp_path: Path, tensors: Tensors, change: Change, words: str
) -> None:
    path = published.mlperf_onnx(tmp_path, SMALL, tensors)
    proto = onnx.load(path)
    change(proto.graph)
    onnx.save(proto, path)
    with pytest.raises(BackendError, match=words):
        read_weights(find_model(str(path)))


def test_files_that_are_not_graphs_are_refused(tmp_path: Path) -> None:
    helper = onnx.helper
    value = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "other", value[:1], value[1:])
    onnx.save(helper.make_model(graph), tmp_path / "other.onnx")
    with pytest.raises(BackendError, match="a linear layer"):
        read_weights(find_model(str(tmp_path / "other.onnx")))
