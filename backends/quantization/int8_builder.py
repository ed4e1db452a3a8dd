"""The maker of int8 engines that no library lends a form: calibrated here, and run by ONNX Runtime and by PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from backends.base import Batch
from backends.bert.checkpoints import read_weights
from backends.bert.model import Model
from backends.quantization import calibration, int8_model, qat_ranges
from backends.quantization.calibration import CalibrationSettings
from backends.quantization.engine_store import About, EngineBuilder, Progress, sources


def _settings() -> dict[str, Any]:
    return asdict(CalibrationSettings())


def _make(
    directory: Path, model: Model, samples: Sequence[Batch], about: About, threads: int, progress: Progress
) -> None:
    weights = read_weights(model)
    if not samples:
        found = qat_ranges.quantize(weights, about)
    else:
        found = calibration.calibrate(
            weights.config, weights.tensors, samples, CalibrationSettings(), threads, progress
        )
    int8_model.write_engine(directory, replace(found, settings=about))


# The code between a checkpoint and a calibrated model.
CALIBRATED_BY = (
    "bert/config",
    "bert/heads",
    "bert/checkpoints",
    "formats/*",
    "quantization/calibration",
    "quantization/qat_ranges",
    "quantization/int8_model",
    "onnxruntime_cpu/graph",
    "onnxruntime_cpu/activations",
)
BUILDER = EngineBuilder(
    sources(*CALIBRATED_BY),
    _settings,
    int8_model.is_complete,
    _make,
    takes_ranges=True,
)
