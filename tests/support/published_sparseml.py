"""BERT and MobileBERT in int8 as SparseML writes them: in fake quantization, and converted for DeepSparse.

Forms by neuralmagic/sparseml's exporters (src/sparseml/exporters/onnx_to_deepsparse.py and its transforms) and the
recipes of its MLPerf submissions: weights and tables symmetric with one scale each, inputs of linear layers and of
attention's two products asymmetric uint8, the right one of the latter symmetric; outputs and LayerNorms float.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper
from published import EXPORTERS, Exporter
from published_mobilebert import MobileExporter

from backends.base import Batch
from backends.bert.encoder import EncoderConfig
from backends.bert.mobilebert import TRANSFORMATION
from backends.formats.base import Tensors

FORMS = ("QDQ", "MatMulInteger", "QLinearMatMul")  # fake quantization; attention's products in today's and older files
_WORDS = "mobilebert.embeddings.word_embeddings"
Intervals = dict[str, tuple[float, float]]  # place in the model → least and greatest value


class Steps(NamedTuple):
    scale: np.float32
    zero_point: np.uint8

    @classmethod
    def of(cls, low: float, high: float, symmetric: bool = False) -> Steps:
        if symmetric:
            return cls(np.float32(max(-low, high) / 127.5), np.uint8(128))
        scale = np.float32((max(high, 0) - min(low, 0)) / 255)
        return cls(scale, np.uint8(round(-min(low, 0) / scale)))

    def rounded(self, array: np.ndarray) -> np.ndarray:
        return np.clip(np.rint(array / self.scale) + self.zero_point, 0, 255).astype(np.uint8)


class _Rounding(Exporter):
    """The nodes of a quantized model; without `intervals`, those of the float model, whose values are noted."""

    def __init__(
        self, config: EncoderConfig, tensors: Tensors, intervals: Intervals | None = None, form: str = FORMS[0]
    ) -> None:
        super().__init__(config, tensors)
        self.intervals, self.form = intervals, form
        self.noted: dict[str, str] = {}  # place → tensor
        self.bytes: dict[tuple[str, Steps], str] = {}  # equal QuantizeLinears are one

    def pair(self, steps: Steps, kind: type = np.uint8) -> tuple[str, str]:
        """Scale and zero point."""
        shift = 128 if kind is np.int8 else 0
        return self.const(steps.scale), self.const(kind(int(steps.zero_point) - shift))

    def quantized(self, place: str, x: str, symmetric: bool = False) -> tuple[str, Steps]:
        assert self.intervals is not None
        steps = Steps.of(*self.intervals[place], symmetric)
        source = next((node for node in self.nodes if x in node.output), None)
        if self.form != "QDQ" and steps.zero_point == 0 and source is not None and source.op_type == "Relu":
            self.nodes.remove(source)  # what is below zero is cut off all the same
            x = source.input[0]
        if (x, steps) not in self.bytes:
            self.bytes[x, steps] = self.node("QuantizeLinear", x, *self.pair(steps))
        return self.bytes[x, steps], steps

    def fake(self, place: str, x: str, symmetric: bool = False) -> str:
        rounded, steps = self.quantized(place, x, symmetric)
        return self.node("DequantizeLinear", rounded, *self.pair(steps))

    def weight(self, at: str) -> tuple[np.ndarray, Steps]:
        tensor = self.tensors[f"{at}.weight"]
        return tensor, Steps.of(float(tensor.min()), float(tensor.max()), symmetric=True)

    def fake_weight(self, at: str) -> str:
        tensor, steps = self.weight(at)
        pair = self.pair(steps, np.int8)
        return self.node(
            "DequantizeLinear", self.node("QuantizeLinear", self.const(tensor, f"{at}.weight"), *pair), *pair
        )

    def linear(self, at: str, x: str) -> str:
        if self.intervals is None:
            self.noted[at] = x
            return super().linear(at, x)
        if self.form != "QDQ":
            return self.integer_linear(at, x)
        x = x if at == TRANSFORMATION else self.fake(at, x)  # its input is rounded already
        turned = self.node("Transpose", self.fake_weight(at), perm=[1, 0])
        return self.node("Add", self.const(self.tensors[f"{at}.bias"]), self.node("MatMul", x, turned))

    def integer_linear(self, at: str, x: str) -> str:
        assert self.intervals is not None
        if at == TRANSFORMATION:
            rounded, steps = x, self.weight(_WORDS)[1]
        elif self.form == "QLinearMatMul" and at.endswith("attention.output.dense"):
            rounded, steps = x, Steps.of(*self.intervals[at])
        else:
            rounded, steps = self.quantized(at, x)
        tensor, of_weight = self.weight(at)
        held = self.const(of_weight.rounded(tensor.T), f"{at}.weight_quantized")
        points = self.const(steps.zero_point), self.const(of_weight.zero_point)
        product = self.node("MatMulInteger", rounded, held, *points, name=f"{at}_quant")
        scale = np.float32(steps.scale * of_weight.scale)
        bias = np.rint(self.tensors[f"{at}.bias"] / scale).astype(np.int32)
        total = self.node("Add", product, self.const(bias, f"{at}_bias_add.bias_quantized"))
        return self.rescaled(total, scale)

    def rescaled(self, total: str, scale: np.float32) -> str:
        return self.node("Mul", self.node("Cast", total, to=TensorProto.FLOAT), self.const(scale))

    def product(self, at: str, left: str, right: str) -> str:
        if self.intervals is None:
            self.noted |= {f"{at}.left": left, f"{at}.right": right}
            return super().product(at, left, right)
        if self.form == "QDQ" or (self.form == "QLinearMatMul" and at.endswith("scores")):
            return self.node("MatMul", self.fake(f"{at}.left", left), self.fake(f"{at}.right", right, symmetric=True))
        (a, of_a), (b, of_b) = self.quantized(f"{at}.left", left), self.quantized(f"{at}.right", right, symmetric=True)
        if self.form == "MatMulInteger":
            points = self.const(of_a.zero_point), self.const(of_b.zero_point)
            return self.rescaled(self.node("MatMulInteger", a, b, *points), np.float32(of_a.scale * of_b.scale))
        to = Steps.of(*self.intervals[at.replace("self.context", "output.dense")])  # which takes the bytes
        return self.node("QLinearMatMul", a, *self.pair(of_a), b, *self.pair(of_b), *self.pair(to))

    def rows(self, at: str, indices: str) -> str:
        if self.intervals is None:
            return super().rows(at, indices)
        if self.form == "QDQ":
            return self.node("Gather", self.fake_weight(at), indices)
        found, steps = self.rows_of_bytes(at, indices)
        return self.node("DequantizeLinear", found, *self.pair(steps))

    def rows_of_bytes(self, at: str, indices: str) -> tuple[str, Steps]:
        tensor, steps = self.weight(at)
        return self.node("Gather", self.const(steps.rounded(tensor), f"{at}.weight_quant"), indices), steps


class _RoundingMobile(_Rounding, MobileExporter):
    def rows(self, at: str, indices: str) -> str:
        if self.intervals is None or self.form == "QDQ" or at != _WORDS:
            return super().rows(at, indices)
        found, steps = self.rows_of_bytes(at, indices)  # dequantized by the product that reads three tokens of it
        self.padding = (self.const(steps.zero_point),)
        return found


_EXPORTERS = {"bert": _Rounding, "mobilebert": _RoundingMobile}


def intervals(config: EncoderConfig, tensors: Tensors, samples: Sequence[Batch]) -> Intervals:
    """What the float model's activations reach on samples, batches of one sample each."""
    plain = _EXPORTERS[config.model_type](config, tensors)
    proto = plain.model(EXPORTERS)
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in {*plain.noted.values()}]
    proto.graph.output.extend(values)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    found: dict[str, list[np.ndarray]] = {place: [] for place in plain.noted}
    for batch in samples:
        padded = batch.padded()
        feed = zip(EXPORTERS, (padded.input_ids, padded.attention_mask, padded.token_type_ids), strict=True)
        answers = session.run([*plain.noted.values()], dict(feed))
        for place, array in zip(plain.noted, answers, strict=True):
            found[place].append(array)
    return {
        place: (float(min(one.min() for one in parts)), float(max(one.max() for one in parts)))
        for place, parts in found.items()
    }


def write(folder: Path, config: EncoderConfig, tensors: Tensors, given: Intervals, form: str) -> Path:
    """The file, in the directory that SparseML calls so."""
    exporter = _EXPORTERS[config.model_type](config, tensors, given, form)
    path = folder / "deployment" / "model.onnx"
    path.parent.mkdir(parents=True)
    onnx.save(exporter.model(EXPORTERS), path)
    return path


def pruned(tensors: Tensors, share: float) -> Tensors:
    """With this share of the encoder's blocks of four inputs set to zero, in all layers together (block4)."""
    found = {name: tensor.copy() for name, tensor in tensors.items()}
    blocks = [one.reshape(-1, 4) for name, one in found.items() if ".encoder." in name and one.ndim == 2]
    sizes = [np.abs(one).sum(1) for one in blocks]
    least = np.quantile(np.concatenate(sizes), share)
    for one, size in zip(blocks, sizes, strict=True):
        one[size < least] = 0
    return found
