"""Builds the gpu backend's engines, int8 and fp8: calibrated like the CPU's, then folded for the kernels.

int8 has the same bytes as the CPU's quantized model. fp8 needs no balancing: e4m3 keeps its relative precision over a
range of 2**15, so outliers in one channel do not cost the others precision, and the scale is the observed maximum with
headroom for twice that. A build needs no GPU; if there is one, the fastest GEMM of each product is measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from backends.base import Batch
from backends.bert.architectures import require_bert
from backends.bert.checkpoints import read_weights
from backends.bert.config import LINEARS
from backends.bert.model import Model
from backends.errors import BackendError
from backends.formats.base import ModelWeights
from backends.gpu import cuda_errors, device, engine
from backends.gpu.engine import FP8, INT8, Engine, FoldedLinear
from backends.quantization import calibration, int8_builder, qat_ranges
from backends.quantization.calibration import CalibrationSettings
from backends.quantization.engine_store import About, EngineBuilder, Progress, sources
from backends.quantization.int8_model import QuantizedLinear
from foundation.arrays import Float32

_FP8_MAX = 448.0  # the largest value of e4m3
_HEADROOM = 2.0  # for values larger than any in calibration
_UINT8_TO_INT8 = 128  # the shift from uint8 to int8
FoldedLinears = Mapping[tuple[int, str], FoldedLinear]


def fold_int8(linear: QuantizedLinear) -> FoldedLinear:
    """The CPU's layer with int8 inputs, and with the zero point folded into the bias."""
    zero_point = linear.input_zero_point - _UINT8_TO_INT8
    scale = linear.weight_scale * np.float32(linear.input_scale)
    constant = linear.weight.sum(1, dtype=np.int64).astype(np.float64) * zero_point * scale
    multiplier = 1 / (linear.input_smooth * np.float32(linear.input_scale))
    bias = (linear.bias - constant).astype(np.float32)
    return FoldedLinear(linear.weight, scale, bias, multiplier.astype(np.float32), zero_point)


def round_fp8(weight: Float32, bias: Float32, largest: float) -> FoldedLinear:
    """A layer in fp8 for inputs of magnitudes up to about `largest`."""
    input_scale = max(largest * _HEADROOM, 1e-12) / _FP8_MAX
    weight_scale = np.maximum(np.abs(weight).max(1), 1e-12).astype(np.float32) / np.float32(_FP8_MAX)
    multiplier = np.full(weight.shape[1], 1 / input_scale, np.float32)
    scale = weight_scale * np.float32(input_scale)
    return FoldedLinear(_to_fp8(weight / weight_scale[:, None]), scale, bias, multiplier, 0)


def _to_fp8(values: Float32) -> Any:
    """The bytes of e4m3, as int8; numpy has no such type."""
    import torch

    return torch.from_numpy(values).clamp_(-_FP8_MAX, _FP8_MAX).to(torch.float8_e4m3fn).view(torch.int8).numpy()


def _build(
    directory: Path, model: Model, samples: Sequence[Batch], about: About, threads: int, progress: Progress
) -> None:
    weights, precision = read_weights(model), str(about["precision"])
    config = require_bert(weights.config, "backend gpu")
    linears = _LINEARS[precision](weights, samples, about, threads, progress)
    found = {name: array for name, array in weights.tensors.items() if name in engine.shapes(config)}
    for (layer, name), linear in linears.items():
        found |= linear.tensors(f"layers.{layer}.{name}")
    built = Engine(config, precision, found, about)
    engine.write(directory, replace(built, choices=_choices(built)))


def _choices(built: Engine) -> engine.ChoicesByGpu:
    """The default choices, and those measured on this machine's GPU if it has one with this precision."""
    from backends.gpu import gemm_tuning, loading, runtime

    default = {gemm_tuning.DEFAULT: gemm_tuning.default(built.precision)}
    try:
        device.of(0, built.precision)
    except BackendError:
        return default
    with cuda_errors.in_one_line(0):
        return {**default, **loading.measure_engine(built, runtime.CudaGpu(0))}


def _int8(
    weights: ModelWeights, samples: Sequence[Batch], about: About, threads: int, progress: Progress
) -> FoldedLinears:
    model = int8_builder.quantize(weights, samples, about, threads, progress)
    return {key: fold_int8(model.linear(*key)) for key in _keys(weights)}


def _fp8(
    weights: ModelWeights, samples: Sequence[Batch], about: About, threads: int, progress: Progress
) -> FoldedLinears:
    largest = _largest(weights, samples, about, threads, progress)
    return {
        key: round_fp8(*weights.config.linear_weights(weights.tensors, *key), largest[key]) for key in _keys(weights)
    }


def _largest(
    weights: ModelWeights, samples: Sequence[Batch], about: About, threads: int, progress: Progress
) -> dict[tuple[int, str], float]:
    """The largest magnitude of each linear layer's input, observed or from the model's own ranges."""
    if not samples:
        model = qat_ranges.quantize(weights, about)
        return {key: _reach(model.linear(*key)) for key in _keys(weights)}
    settings = CalibrationSettings(rows=0)
    inputs = calibration.observe(weights.config, weights.tensors, samples, settings, threads, progress)
    return {key: float(max(observed.high.max(), -observed.low.min())) for key, observed in inputs.items()}


def _reach(linear: QuantizedLinear) -> float:
    """The largest magnitude that the input's range can represent."""
    steps = max(linear.input_zero_point, 255 - linear.input_zero_point)
    return float(steps * linear.input_scale * linear.input_smooth.max())


def _keys(weights: ModelWeights) -> Iterator[tuple[int, str]]:
    return ((layer, name) for layer in range(weights.config.num_hidden_layers) for name in LINEARS)


_LINEARS = {INT8: _int8, FP8: _fp8}


def _settings(model: Model) -> dict[str, Any]:
    return {**int8_builder.settings(model), "bounded": False, "fp8_room": _HEADROOM}  # whatever the host is


BUILDER = EngineBuilder(
    sources("gpu/builder", "gpu/engine", *int8_builder.CALIBRATED_BY),
    _settings,
    engine.FORMAT.is_complete,
    _build,
    takes_ranges=True,
)
