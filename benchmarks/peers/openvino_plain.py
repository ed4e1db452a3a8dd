"""OpenVINO in fp32 at natural length: its default number of streams, longest samples first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from backends.bert.model import Model
from benchmarks.peers.base import Peer, Sample

PLAIN = "openvino-fp32.xml"


def write_plain(model: Model, folder: Path) -> Path:
    """The exported graph in OpenVINO's format."""
    path = folder / PLAIN
    if not path.is_file():
        import openvino

        from benchmarks.peers import export

        graph = openvino.Core().read_model(str(export.plain_onnx(model, folder)))
        openvino.save_model(graph, str(path), compress_to_fp16=False)
    return path


class OpenVinoFp32(Peer):
    needs: Sequence[str] = ("openvino", "onnx", "torch", "transformers")
    precision = "fp32"
    about = "throughput hint, asynchronous, longest first, at natural length"
    graph = PLAIN
    hint = "THROUGHPUT"
    settings: dict[str, str] = {"INFERENCE_PRECISION_HINT": "f32"}  # noqa: RUF012 - default: bf16 if the CPU has it

    def prepare(self, model: Model, folder: Path, calibration: Sequence[Sample]) -> None:
        write_plain(model, folder)

    def load(self, model: Model, folder: Path, threads: int) -> None:
        import openvino

        core = openvino.Core()
        settings = {"PERFORMANCE_HINT": self.hint, "INFERENCE_NUM_THREADS": threads, **self.settings}
        self._compiled: Any = core.compile_model(core.read_model(str(folder / self.graph)), "CPU", settings)
        self._queue = openvino.AsyncInferQueue(self._compiled)

    def answer(self, sample: Sample) -> object:
        return self._compiled(sample._asdict())

    def answer_all(self, samples: Sequence[Sample]) -> None:
        for sample in sorted(samples, key=lambda sample: -sample.input_ids.shape[1]):
            self._queue.start_async(sample._asdict())
        self._queue.wait_all()


class LatencyFp32(OpenVinoFp32):
    about = "latency hint, one sample at a time, at its natural length"
    hint = "LATENCY"
    answer_all = Peer.answer_all
