"""ONNX Runtime on the exported graph in fp32: as in the MLPerf reference, and at natural length."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from backends.bert.model import Model
from benchmarks.peers.base import PADDED_LENGTH, Peer, Sample


class OnnxRuntimeFp32(Peer):
    needs: Sequence[str] = ("onnxruntime", "onnx", "torch", "transformers")
    precision = "fp32"
    about = "exported graph, one sample at a time, at its natural length"
    graph = "plain.onnx"

    def prepare(self, model: Model, folder: Path, calibration: Sequence[Sample]) -> None:
        if not (folder / self.graph).is_file():
            self._write(model, folder)

    def _write(self, model: Model, folder: Path) -> None:
        from benchmarks.peers import export

        export.plain_onnx(model, folder)

    def load(self, model: Model, folder: Path, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        providers = ["CPUExecutionProvider"]
        self._session: Any = onnxruntime.InferenceSession(str(folder / self.graph), options, providers=providers)

    def answer(self, sample: Sample) -> object:
        return self._session.run(None, sample._asdict())


class OnnxRuntimeReference(OnnxRuntimeFp32):
    padded_to = PADDED_LENGTH
    about = "as in the MLPerf reference: exported graph, one sample at a time, padded to 384"
