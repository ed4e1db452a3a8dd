"""An int8 engine from a model with ranges of its own (quantization-aware training): nothing is calibrated.

Layers with one input, such as query, key and value, are one matrix product here; where their ranges differ, the widest
is used. A product that others were multiplied into has new weights, so its scales are those of its rows' maxima.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from backends.errors import BackendError
from backends.formats.base import ModelWeights, QatRange
from backends.quantization.int8_model import QuantizedLinear, QuantizedModel, engine_shapes, round_weight
from foundation.arrays import Float32


def quantize(weights: ModelWeights, settings: Mapping[str, Any]) -> QuantizedModel:
    """The quantized model of `weights`.

    Raises:
        BackendError: a linear layer has no range; the message names it.
    """
    found: dict[str, Any] = {
        name: weights.tensors[name] for name in engine_shapes(weights.config) if name in weights.tensors
    }
    config = weights.config
    for layer in range(config.num_hidden_layers):
        for name, product in config.linears().items():
            ranges = [_range(weights, config.layer_name(layer) + at) for at in product.readers or product.sources]
            scale = None if product.readers else np.concatenate([one.weight_scale for one in ranges])
            linear = _linear(*config.linear_weights(weights.tensors, layer, name), scale, ranges)
            found |= linear.tensors(f"layers.{layer}.{name}")
    return QuantizedModel(config, found, settings)


def _range(weights: ModelWeights, source: str) -> QatRange:
    if source not in weights.ranges:
        raise BackendError(
            f"expected a range for every linear layer of a model with ranges of its own, found none for {source} "
            f"({len(weights.ranges)} layers have one). To calibrate instead, name samples with "
            f"--calibration-dataset FILE."
        )
    return weights.ranges[source]


def _linear(weight: Float32, bias: Float32, weight_scale: Float32 | None, ranges: list[QatRange]) -> QuantizedLinear:
    smooth = _smooth(ranges, weight.shape[1])
    rounded, scale = round_weight(weight * smooth, weight_scale, min(one.least_step for one in ranges))
    input_scale, zero_point = _widest(ranges)
    return QuantizedLinear(
        weight=rounded,
        weight_scale=scale,
        bias=bias,
        input_scale=input_scale,
        input_zero_point=zero_point,
        input_smooth=smooth,
    )


def _smooth(ranges: list[QatRange], inputs: int) -> Float32:
    """The divisors [K] that layers with one input share. Raises BackendError where they differ."""
    first, *others = (np.ones(inputs, np.float32) if one.input_smooth is None else one.input_smooth for one in ranges)
    if not all(np.array_equal(first, other) for other in others):
        raise BackendError(
            "expected one divisor of each input channel for layers that share their input, such as query, key and "
            "value, found others. To calibrate instead, name samples with --calibration-dataset FILE."
        )
    return first


def _widest(ranges: list[QatRange]) -> tuple[float, int]:
    """Scale and zero point of the union of these ranges."""
    if len({(one.input_scale, one.input_zero_point) for one in ranges}) == 1:
        return ranges[0].input_scale, ranges[0].input_zero_point
    low = min(-one.input_zero_point * one.input_scale for one in ranges)
    high = max((255 - one.input_zero_point) * one.input_scale for one in ranges)
    scale = (high - low) / 255
    return scale, round(-low / scale)
