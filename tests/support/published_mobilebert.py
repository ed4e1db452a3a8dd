"""MobileBERT's graph as torch.onnx wrote it in 2020, with MLPerf's names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from published import MLPERF, Exporter

from backends.bert.mobilebert import TRANSFORMATION, MobileBertConfig
from backends.formats.base import Tensors


class MobileExporter(Exporter):
    """The nodes that differ from BERT's."""

    padding: tuple[str, ...] = ()  # the value before the first token and behind the last; (): 0

    def norm(self, at: str, x: str) -> str:
        weight, bias = (self.const(self.tensors[f"{at}.LayerNorm.{part}"]) for part in ("weight", "bias"))
        return self.node("Add", self.node("Mul", x, weight), bias)

    def embedded(self, ids: str, types: str) -> str:
        length = self.node("Gather", self.node("Shape", ids), self.const(np.array(1)))
        positions = self.node("Range", self.const(np.array(0)), length, self.const(np.array(1)))
        at = "mobilebert.embeddings"
        word, position, kind = (
            self.rows(f"{at}.{name}_embeddings", indices)
            for name, indices in {"word": ids, "position": positions, "token_type": types}.items()
        )
        wide = self.node("Pad", word, self.const(np.array([0, 1, 0, 0, 1, 0])), *self.padding)
        ends, axis = (np.iinfo(np.int64).max, -2), self.const(np.array([1]))
        following, previous = (
            self.node("Slice", wide, self.const(np.array([start])), self.const(np.array([end])), axis)
            for start, end in zip((2, 0), ends, strict=True)
        )
        trigram = self.node("Concat", following, word, previous, axis=2)
        total = self.node("Add", self.node("Add", self.linear(TRANSFORMATION, trigram), position), kind)
        return self.norm(at, total)

    def layer(self, at: str, x: str, mask: str) -> str:
        config = self.config
        assert isinstance(config, MobileBertConfig)
        inside, shared = (
            self.norm(f"{at}bottleneck.{part}", self.linear(f"{at}bottleneck.{part}.dense", x))
            for part in ("input", "attention")
        )
        context = self.mixed(f"{at}attention.self", (shared, shared, x), mask)
        attended = self.linear(f"{at}attention.output.dense", context)
        a = self.norm(f"{at}attention.output", self.node("Add", attended, inside))
        for below in config.feedforwards.values():
            inner = self.node("Relu", self.linear(f"{at}{below}intermediate.dense", a))
            a = self.norm(f"{at}{below}output", self.node("Add", self.linear(f"{at}{below}output.dense", inner), a))
        widened = self.linear(f"{at}output.bottleneck.dense", a)
        return self.norm(f"{at}output.bottleneck", self.node("Add", widened, x))


def mlperf_onnx(folder: Path, config: MobileBertConfig, tensors: Tensors) -> Path:
    """fp32, input_mask and segment_ids."""
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(MobileExporter(config, tensors).model(MLPERF), folder / "model.onnx")
    return folder / "model.onnx"
