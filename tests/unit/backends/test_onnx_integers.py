"""int8 ONNX as SparseML writes it: read with its own bytes and scales, and answered as the file answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import published_sparseml
import pytest
import small_mobilebert
from published import LINEARS
from published_sparseml import FORMS, Intervals, Steps
from small_bert import SMALL, random_batch, random_tensors

from backends import backend_class
from backends.base import Options
from backends.bert.checkpoints import find_model, has_ranges, read_weights, with_signature
from backends.bert.encoder import EncoderConfig
from backends.bert.model import Model
from backends.errors import BackendError
from backends.formats.base import Tensors
from backends.quantization import qat_ranges
from backends.quantization.int8_model import QuantizedModel, write_engine
from foundation.arrays import Float32

BERT = replace(SMALL, num_hidden_layers=1)
MOBILEBERT, MOBILE_TENSORS = replace(small_mobilebert.TINY, num_hidden_layers=1), small_mobilebert.random_tensors(1)
MODELS: dict[str, tuple[EncoderConfig, Tensors]] = {
    "BERT": (BERT, random_tensors(BERT, 1)),
    "MobileBERT": (MOBILEBERT, {name: one for name, one in MOBILE_TENSORS.items() if name in MOBILEBERT.shapes()}),
}
ALONE = random_batch([40], seed=9)  # MobileBERT's graphs see [PAD] next to the last token in padded batches
ZEROS = 0.8


@pytest.fixture(scope="module", params=[(kind, form) for kind in MODELS for form in FORMS], ids="-".join)
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Intervals]:
    kind, form = request.param
    config, tensors = MODELS[kind]
    tensors = published_sparseml.pruned(tensors, ZEROS)
    found = published_sparseml.intervals(config, tensors, [random_batch([length], seed=length) for length in (30, 60)])
    return published_sparseml.write(tmp_path_factory.mktemp(form), config, tensors, found, form), found


def engine_of(path: Path) -> QuantizedModel:
    return qat_ranges.quantize(read_weights(find_model(str(path))), {})


def answers(backend: str, model: Model, precision: str = "fp32") -> tuple[Float32, str | None]:
    with backend_class(backend)(Options(precision)) as engine:
        engine.load(model)
        return np.array(engine.infer(ALONE)), engine.remark()


def test_the_engines_answer_as_the_file_does(file: tuple[Path, Intervals], tmp_path: Path) -> None:
    """Except for the rounding inside attention and of the head's input, which is not taken."""
    as_it_is = with_signature(find_model(str(file[0])))
    expected, _ = answers("onnxruntime", as_it_is)
    built = replace(as_it_is, engine=write_engine(tmp_path / "engine", engine_of(file[0])))
    (ours, _), (packed, remark) = (answers(name, built, "int8") for name in ("onnxruntime", "pytorch"))
    assert np.abs(ours - expected).mean() < 0.02 * np.abs(expected).mean()
    assert np.abs(packed - expected).mean() < 0.02 * np.abs(expected).mean()
    assert "% zeros" in str(remark)  # sparse or dense, by a trial on this machine


def test_openvino_runs_the_file_as_it_is(file: tuple[Path, Intervals]) -> None:
    as_it_is = with_signature(find_model(str(file[0])))
    expected, found = (answers(name, as_it_is)[0] for name in ("onnxruntime", "openvino"))
    assert np.abs(found - expected).mean() < 0.02 * np.abs(expected).mean()


@pytest.mark.parametrize("form", FORMS)
def test_bytes_and_scales_are_the_files(tmp_path: Path, form: str) -> None:
    config, tensors = MODELS["BERT"]
    tensors = published_sparseml.pruned(tensors, ZEROS)
    # No samples: scales that no calibration would find, with zero points that are not in the middle.
    given = {place: (-1.0 - number, 7.0) for number, place in enumerate(_places(config))}
    given |= {f"bert.encoder.layer.0.attention.self.{name}": (-0.5, 2.5) for name in ("query", "key", "value")}
    path = published_sparseml.write(tmp_path, config, tensors, given, form)
    assert has_ranges(find_model(str(path)))
    weights, engine = read_weights(find_model(str(path))), engine_of(path)
    assert replace(weights.config, layer_norm_eps=config.layer_norm_eps) == config
    for name, product in config.linears().items():
        sources = [config.layer_name(0) + at for at in product.sources]
        held = [Steps.of(tensors[f"{at}.weight"].min(), tensors[f"{at}.weight"].max(), True) for at in sources]
        steps, found = Steps.of(*given[sources[0]]), engine.linear(0, name)
        assert found.input_scale == pytest.approx(steps.scale, rel=1e-6)
        assert found.input_zero_point == steps.zero_point
        bytes_ = [one.rounded(tensors[f"{at}.weight"]) for at, one in zip(sources, held, strict=True)]
        np.testing.assert_array_equal(found.weight, np.concatenate(bytes_).astype(np.int16) - 128)
        scales = [np.full(len(one), steps_.scale) for one, steps_ in zip(bytes_, held, strict=True)]
        np.testing.assert_allclose(found.weight_scale, np.concatenate(scales), rtol=1e-6)
        bias = np.concatenate([tensors[f"{at}.bias"] for at in sources])
        np.testing.assert_allclose(found.bias, bias, atol=float(steps.scale * found.weight_scale.max()))
    assert min(engine.linear(0, name).weight.min() for name in config.linears()) == -128
    table = tensors["bert.embeddings.word_embeddings.weight"]
    rounded = Steps.of(table.min(), table.max(), symmetric=True)
    exact = (rounded.rounded(table).astype(np.float32) - 128) * rounded.scale
    np.testing.assert_allclose(weights.tensors["bert.embeddings.word_embeddings.weight"], exact, rtol=1e-6)


def _places(config: EncoderConfig) -> list[str]:
    at = config.layer_name(0)
    products = [f"{at}attention.self.{name}.{side}" for name in ("scores", "context") for side in ("left", "right")]
    return [*(at + name for name in LINEARS), *products, "qa_outputs"]


# Forms that are not known.


def _first(graph: Any, op: str) -> Any:
    return next(node for node in graph.node if node.op_type == op)


def _scale_that_is_computed(graph: Any) -> None:
    """From no DynamicQuantizeLinear."""
    node = next(node for node in graph.node if node.op_type == "Mul" and _made_by(graph, node.input[0]) == "Cast")
    node.input[1] = node.input[0]


def _made_by(graph: Any, name: str) -> str | None:
    return next((node.op_type for node in graph.node if name in node.output), None)


def _rename(op: str, to: str) -> Callable[[Any], None]:
    def change(graph: Any) -> None:
        _first(graph, op).op_type = to

    return change


def _weight_around(point: int) -> Callable[[Any], None]:
    def change(graph: Any) -> None:
        name = _first(graph, "MatMulInteger").input[3]
        held = next(one for one in graph.initializer if one.name == name)
        held.CopyFrom(onnx.numpy_helper.from_array(np.array(point, np.uint8), name))

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            _scale_that_is_computed,
            "expected a MatMulInteger with scales that are constant.*found MatMulInteger.*as it is with",
        ),
        (_rename("MatMulInteger", "ConvInteger"), "found ConvInteger"),
        (_rename("QuantizeLinear", "Floor"), "found MatMulInteger"),
        (_weight_around(100), "expected .* symmetric weight scales .* found others at .*Name the model before"),
    ],
    ids=["computed", "convolution", "unknown bytes", "asymmetric"],
)
def test_another_form_is_one_error(tmp_path: Path, change: Callable[[Any], None], words: str) -> None:
    config, tensors = MODELS["BERT"]
    given = dict.fromkeys(_places(config), (-4.0, 4.0))
    path = published_sparseml.write(tmp_path, config, tensors, given, "MatMulInteger")
    proto = onnx.load(path)
    change(proto.graph)
    onnx.save(proto, path)
    with pytest.raises(BackendError, match=words):
        read_weights(find_model(str(path)))
