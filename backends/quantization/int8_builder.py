"""Builds the int8 engines that ONNX Runtime and PyTorch run, with the calibration of this package.

The format is neutral (`int8_model`), so both backends share one engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from backends.base import Batch
from backends.bert.checkpoints import read_weights
from backends.bert.model import Model
from backends.formats.base import ModelWeights
from backends.quantization import calibration, int8_model, qat_ranges
from backends.quantization.calibration import CalibrationSettings
from backends.quantization.engine_store import About, EngineBuilder, Progress, sources
from backends.quantization.int8_model import QuantizedModel
from foundation import cpu_info


def settings(model: Model) -> dict[str, Any]:
    """Random weights are for speed alone: compensating their rounding would take minutes of a build for nothing."""
    bounded = cpu_info.adds_bytes_in_16_bits()
    return asdict(CalibrationSettings(compensated=not model.is_random, bounded=bounded))


def _build(
    directory: Path, model: Model, samples: Sequence[Batch], about: About, threads: int, progress: Progress
) -> None:
    quantized = quantize(read_weights(model), samples, about, threads, progress)
    int8_model.write_engine(directory, replace(quantized, settings=about))


def quantize(
    weights: ModelWeights, samples: Sequence[Batch], about: About, threads: int, progress: Progress
) -> QuantizedModel:
    """The model calibrated on `samples`, batches of one sample each; without samples, with its own ranges.

    Args:
        about: of the engine; those of its `settings` that it lacks are the defaults.

    Raises:
        BackendError: there are no samples, and a linear layer has no range.
    """
    if not samples:
        return qat_ranges.quantize(weights, about)
    given = {one.name: about[one.name] for one in fields(CalibrationSettings) if one.name in about}
    return calibration.calibrate(
        weights.config, weights.tensors, samples, CalibrationSettings(**given), threads, progress
    )


# The modules that determine a model in memory, from its checkpoint on; and a calibrated one.
MODEL_BY = (
    *(f"bert/{name}" for name in ("architectures", "config", "config_files", "encoder", "heads", "mobilebert")),
    "bert/checkpoints",
    "formats/*",
)
_QUANTIZATION = (
    "attention_ranges",
    "bounded_groups",
    "calibration",
    "compensated_rounding",
    "qat_ranges",
    "int8_model",
    "engine_tensors",
)
CALIBRATED_BY = (
    *MODEL_BY,
    *(f"quantization/{name}" for name in _QUANTIZATION),
    *(f"onnxruntime_cpu/{name}" for name in ("graph", "graph_builder", "mobilebert_graph", "activations")),
)
BUILDER = EngineBuilder(
    sources(*CALIBRATED_BY),
    settings,
    int8_model.FORMAT.is_complete,
    _build,
    takes_ranges=True,
)
