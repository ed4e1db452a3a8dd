"""int8 ONNX as ONNX Runtime's quantizers and NNCF write it: read, and answered as the file answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnxruntime import quantization
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType
from plain_onnx import write_plain_onnx
from small_bert import SMALL, random_batch, random_tensors, write_model

from backends import backend_class
from backends.base import Options
from backends.bert import numpy_reference
from backends.bert.checkpoints import find_model, has_ranges, read_weights, with_signature
from backends.errors import BackendError
from backends.formats import onnx_reader
from backends.quantization import qat_ranges
from foundation.arrays import Float32

CONFIG = replace(SMALL, num_hidden_layers=1)
TENSORS = random_tensors(CONFIG, 1)
BATCH = random_batch([40], seed=9)
FACTORS = np.exp(np.random.default_rng(3).normal(size=CONFIG.hidden_size) / 4).astype(np.float32)


class Samples(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    def __init__(self) -> None:
        self._left = self._feeds()

    def _feeds(self) -> Iterator[dict[str, Any]]:
        for length in (30, 40, 60):
            padded = random_batch([length], seed=length).padded()
            mask, kinds = padded.attention_mask, padded.token_type_ids
            yield {"input_ids": padded.input_ids, "input_mask": mask, "segment_ids": kinds}

    def get_next(self) -> dict[str, Any] | None:
        return next(self._left, None)


def dynamic(exported: Path, to: Path, weights: str, **how: Any) -> None:
    quantization.quantize_dynamic(exported, to, weight_type=QuantType[weights], **how)


def static(exported: Path, to: Path, inputs: str, weights: str = "QInt8", **how: Any) -> None:
    types = {"activation_type": QuantType[inputs], "weight_type": QuantType[weights]}
    quantization.quantize_static(exported, to, Samples(), **{"quant_format": QuantFormat.QDQ, **types, **how})


def balanced(exported: Path, to: Path) -> None:
    """As NNCF: before the layers that read a LayerNorm, channels are multiplied, and weights divided."""
    proto = onnx.load(exported)
    graph, made = proto.graph, {node.output[0]: node.op_type for node in proto.graph.node}
    held = {one.name: one for one in graph.initializer}
    for number, node in enumerate([one for one in graph.node if one.op_type == "MatMul"]):
        if made.get(node.input[0]) == "LayerNormalization" and node.input[1] in held:
            weight = onnx.numpy_helper.to_array(held[node.input[1]]) / FACTORS[:, None]
            held[node.input[1]].CopyFrom(onnx.numpy_helper.from_array(weight, node.input[1]))
            by = onnx.numpy_helper.from_array(FACTORS.reshape(1, 1, -1), f"by{number}")
            graph.initializer.append(by)
            scaled = onnx.helper.make_node("Mul", [node.input[0], by.name], [f"balanced{number}"])
            graph.node.insert(list(graph.node).index(node), scaled)
            node.input[0] = f"balanced{number}"
    onnx.save(proto, to.with_suffix(".balanced"))
    static(to.with_suffix(".balanced"), to, "QUInt8", per_channel=True, op_types_to_quantize=["MatMul"])


QUANTIZED: dict[str, tuple[Callable[[Path, Path], None], bool]] = {  # and whether inputs have scales of the file
    "dynamic": (lambda exported, to: dynamic(exported, to, "QInt8"), False),
    "dynamic, by channel around a zero point": (
        lambda exported, to: dynamic(exported, to, "QUInt8", per_channel=True), False
    ),
    "dynamic, attention too": (
        lambda exported, to: dynamic(exported, to, "QInt8", extra_options={"MatMulConstBOnly": False}), False
    ),
    "static, by channel": (lambda exported, to: static(exported, to, "QInt8", per_channel=True), True),
    "static, balanced": (balanced, True),
}  # fmt: skip


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    return write_plain_onnx(folder / "plain.onnx", find_model(str(write_model(folder / "model", CONFIG, TENSORS))))


def distance(found: Float32, expected: Float32) -> float:
    return float(np.abs(found - expected).mean() / np.abs(expected).mean())


@pytest.mark.parametrize("name", QUANTIZED)
def test_its_weights_are_read_and_its_scales_if_it_has_some(exported: Path, tmp_path: Path, name: str) -> None:
    write, is_calibrated = QUANTIZED[name]
    write(exported, tmp_path / "int8.onnx")
    model = find_model(str(tmp_path / "int8.onnx"))
    assert has_ranges(model) is is_calibrated
    weights = read_weights(model)
    assert all(distance(weights.tensors[at], one) < 0.02 for at, one in TENSORS.items())
    with backend_class("onnxruntime")(Options("fp32")) as engine:
        engine.load(with_signature(model))
        as_it_is = engine.infer(BATCH)
    if not is_calibrated:
        assert not weights.ranges
        ours = numpy_reference.infer_float(weights.config, weights.tensors, BATCH)
    else:
        ours = numpy_reference.infer(qat_ranges.quantize(weights, {}), BATCH)
    assert distance(ours, as_it_is) < 0.05
    assert onnx_reader.geometry(tmp_path / "int8.onnx", onnx.load(tmp_path / "int8.onnx").graph) == weights.config


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"weights": "QUInt8"}, r"symmetric weight scales .* Name the model before quantization"),
        ({"quant_format": QuantFormat.QOperator}, r"found QLinear.* as it is with --backend onnxruntime"),
    ],
    ids=["weights around a zero point", "operators of bytes"],
)
def test_another_form_is_one_error(exported: Path, tmp_path: Path, how: dict[str, Any], words: str) -> None:
    static(exported, tmp_path / "int8.onnx", "QUInt8", **how)
    with pytest.raises(BackendError, match=words):
        read_weights(find_model(str(tmp_path / "int8.onnx")))
