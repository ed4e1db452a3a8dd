"""ONNX Runtime's `quantize_dynamic` int8, at natural length: what a user of ONNX Runtime reaches in two lines.

Weights are int8 per channel; activations become uint8 on the fly. One sample at a time on all cores, or as many samples
side by side as there are cores.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from backends.bert.model import Model
from benchmarks.peers.base import Sample
from benchmarks.peers.onnxruntime_plain import OnnxRuntimeFp32


class OnnxRuntimeInt8(OnnxRuntimeFp32):
    precision = "int8"
    about = "quantize_dynamic, one sample at a time, at its natural length"
    graph = "dynamic.onnx"

    def _write(self, model: Model, folder: Path) -> None:
        from onnxruntime.quantization import QuantType, quantize_dynamic

        super()._write(model, folder)
        path = folder / self.graph
        temporary = path.with_suffix(".part")
        quantize_dynamic(folder / OnnxRuntimeFp32.graph, temporary, weight_type=QuantType.QInt8, per_channel=True)
        temporary.replace(path)


class SideBySide(OnnxRuntimeInt8):
    about = "quantize_dynamic, a sample on each core, longest first, at natural length"
    side_by_side = True

    def load(self, model: Model, folder: Path, threads: int) -> None:
        super().load(model, folder, 1)
        self._pool = ThreadPoolExecutor(threads)

    def answer_all(self, samples: Sequence[Sample]) -> None:
        list(self._pool.map(self.answer, sorted(samples, key=lambda sample: -sample.input_ids.shape[1])))
