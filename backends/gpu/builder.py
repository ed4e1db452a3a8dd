"""The maker of the gpu backend's engines, int8 and fp8: calibrated as the CPU's are, then folded for the kernels.

int8 is the quantized model that the CPU runs, to the byte. fp8 needs less: e4m3 keeps its precision over a range of
2**15, so a channel with outliers takes nothing from its neighbours, and a scale from the greatest value that was seen
is enough, with room for twice that. A build needs no GPU; where there is one, each product's fastest way is measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from backends.base import Batch
from backends.bert.checkpoints import read_weights
from backends.bert.model import Model
from backends.errors import BackendError
from backends.formats.base import ModelWeights
from backends.gpu import device, engine
from backends.gpu.engine import FP8, INT8, Engine, FoldedLinear
from backends.quantization import calibration, qat_ranges
from backends.quantization.calibration import CalibrationSettings, ObservedInputs
from backends.quantization.engine_store import About, EngineBuilder, Progress, sources
from backends.quantization.int8_builder import CALIBRATED_BY
from backends.quantization.int8_model import LINEARS, QuantizedLinear, QuantizedModel
from foundation.arrays import Float32

_MOST = 448.0  # of e4m3
_ROOM = 2.0  # for values greater than any that calibration saw
_HALF = 128  # from unsigned bytes to signed ones
FoldedLinears = Mapping[tuple[int, str], FoldedLinear]


def fold_int8(linear: QuantizedLinear) -> FoldedLinear:
    """The CPU's layer for signed bytes: its zero point leaves the product for the bias."""
    zero_point = linear.input_zero_point - _HALF
    scale = linear.weight_scale * np.float32(linear.input_scale)
    constant = linear.weight.sum(1, dtype=np.int64).astype(np.float64) * zero_point * scale
    multiplier = 1 / (linear.input_smooth * np.float32(linear.input_scale))
    bias = (linear.bias - constant).astype(np.float32)
    return FoldedLinear(linear.weight, scale, bias, multiplier.astype(np.float32), zero_point)


def round_fp8(weight: Float32, bias: Float32, greatest: float) -> FoldedLinear:
    """A layer in fp8, whose inputs are up to about `greatest`."""
    input_scale = max(greatest * _ROOM, 1e-12) / _MOST
    weight_scale = np.maximum(np.abs(weight).max(1), 1e-12).astype(np.float32) / np.float32(_MOST)
    multiplier = np.full(weight.shape[1], 1 / input_scale, np.float32)
    scale = weight_scale * np.float32(input_scale)
    return FoldedLinear(_to_fp8(weight / weight_scale[:, None]), scale, bias, multiplier, 0)


def _to_fp8(values: Float32) -> Any:
    """e4m3's bytes, rounded to nearest; numpy has no such type."""
    import torch

    return torch.from_numpy(values).clamp_(-_MOST, _MOST).to(torch.float8_e4m3fn).view(torch.int8).numpy()


def _make(
    directory: Path, model: Model, samples: Sequence[Batch], about: About, threads: int, progress: Progress
) -> None:
    weights, precision = read_weights(model), str(about["precision"])
    linears = _LINEARS[precision](weights, samples, about, threads, progress)
    found = {name: array for name, array in weights.tensors.items() if name in engine.shapes(weights.config)}
    for (layer, name), linear in linears.items():
        found |= linear.tensors(f"layers.{layer}.{name}")
    made = Engine(weights.config, precision, found, about)
    engine.write(directory, replace(made, choices=_choices(made)))


def _choices(made: Engine) -> dict[str, dict[str, str]]:
    """The defaults, and what is fastest on the GPU of this machine, where there is one that has the precision."""
    from backends.gpu import gemm_tuning, loading

    found = {gemm_tuning.DEFAULT: gemm_tuning.default(made.precision)}
    try:
        gpu = device.of(0, made.precision)
    except BackendError:
        return found
    return found | {gpu.name: loading.measure_engine(made)}


def _int8(
    weights: ModelWeights, samples: Sequence[Batch], about: About, threads: int, progress: Progress
) -> FoldedLinears:
    model = _quantized(weights, samples, about, threads, progress)
    return {place: fold_int8(model.linear(*place)) for place in _places(weights)}


def _quantized(
    weights: ModelWeights, samples: Sequence[Batch], about: About, threads: int, progress: Progress
) -> QuantizedModel:
    if not samples:
        return qat_ranges.quantize(weights, about)
    return calibration.calibrate(weights.config, weights.tensors, samples, CalibrationSettings(), threads, progress)


def _fp8(
    weights: ModelWeights, samples: Sequence[Batch], about: About, threads: int, progress: Progress
) -> FoldedLinears:
    greatest = _greatest(weights, samples, about, threads, progress)
    return {place: round_fp8(*_stacked(weights, *place), greatest[place]) for place in _places(weights)}


def _greatest(
    weights: ModelWeights, samples: Sequence[Batch], about: About, threads: int, progress: Progress
) -> dict[tuple[int, str], float]:
    """The greatest size of each linear layer's input: as seen, or as the model's own ranges have it."""
    if not samples:
        model = qat_ranges.quantize(weights, about)
        return {place: _reach(model.linear(*place)) for place in _places(weights)}
    settings = CalibrationSettings(rows=0)
    sites: ObservedInputs = calibration.observe(weights.config, weights.tensors, samples, settings, threads, progress)
    return {place: float(max(site.high.max(), -site.low.min())) for place, site in sites.items()}


def _reach(linear: QuantizedLinear) -> float:
    steps = max(linear.input_zero_point, 255 - linear.input_zero_point)
    return float(steps * linear.input_scale * linear.input_smooth.max())


def _places(weights: ModelWeights) -> Iterator[tuple[int, str]]:
    return ((layer, name) for layer in range(weights.config.num_hidden_layers) for name in LINEARS)


def _stacked(weights: ModelWeights, layer: int, name: str) -> tuple[Float32, Float32]:
    weight, bias = (calibration.stacked(weights.tensors, layer, name, part) for part in ("weight", "bias"))
    return weight, bias


_LINEARS = {INT8: _int8, FP8: _fp8}


def _settings() -> dict[str, Any]:
    return {**asdict(CalibrationSettings()), "fp8_room": _ROOM}


BUILDER = EngineBuilder(
    sources("gpu/builder", "gpu/engine", *CALIBRATED_BY),
    _settings,
    engine.is_complete,
    _make,
    takes_ranges=True,
)
