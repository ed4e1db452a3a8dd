"""OpenVINO with NNCF's post-training int8 for transformers (static, SmoothQuant), at natural length."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from backends.bert.model import Model
from benchmarks.peers.base import Peer, Sample
from benchmarks.peers.openvino_plain import OpenVinoFp32, write_plain


class OpenVinoInt8(OpenVinoFp32):
    needs: Sequence[str] = (*OpenVinoFp32.needs, "nncf")
    precision = "int8"
    about = "NNCF, throughput hint, asynchronous, longest first, at natural length"
    graph = "openvino-int8.xml"

    def prepare(self, model: Model, folder: Path, calibration: Sequence[Sample]) -> None:
        if (folder / self.graph).is_file():
            return
        import nncf
        import openvino

        quantized = nncf.quantize(
            openvino.Core().read_model(str(write_plain(model, folder))),
            nncf.Dataset([sample._asdict() for sample in calibration]),
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=len(calibration),
        )
        openvino.save_model(quantized, str(folder / self.graph), compress_to_fp16=False)


class LatencyInt8(OpenVinoInt8):
    about = "NNCF, latency hint, one sample at a time, at its natural length; OpenVINO's default types outside int8"
    hint = "LATENCY"
    settings: dict[str, str] = {}  # noqa: RUF012
    answer_all = Peer.answer_all
