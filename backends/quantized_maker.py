"""The maker of int8 engines that no library lends a form: calibrated here, and run by ONNX Runtime and by PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from backends import calibration, learned, quantized
from backends.base import Batch
from backends.calibration import CalibrationSettings
from backends.checkpoints import Model, read_weights
from backends.engine_directory import About, Maker, Progress, sources


def _settings() -> dict[str, Any]:
    return asdict(CalibrationSettings())


def _make(
    directory: Path, model: Model, samples: Sequence[Batch], about: About, threads: int, progress: Progress
) -> None:
    weights = read_weights(model)
    if not samples:
        found = learned.quantize(weights, about)
    else:
        found = calibration.calibrate(
            weights.config, weights.tensors, samples, CalibrationSettings(), threads, progress
        )
    quantized.write_engine(directory, replace(found, settings=about))


MAKER = Maker(
    sources(
        "calibration",
        "learned",
        "quantized",
        "checkpoints",
        "geometry",
        "heads",
        "formats/*",
        "onnx_graph",
        "onnx_sites",
    ),
    _settings,
    quantized.is_whole,
    _make,
    takes_ranges=True,
)
