"""What a reader returns: weights, their geometry and, for a quantized model, the scales it was trained with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from backends.bert.architectures import Geometry
from backends.bert.heads import HEADS
from backends.errors import BackendError
from foundation.arrays import Float32

Tensors = dict[str, Float32]
_BFLOAT16 = "bfloat16"  # of ml_dtypes, which numpy does not count as floating
# Prefixes of tensors in published checkpoints that a head does not use.
_UNUSED = ("{}.pooler.", "{}.embeddings.position_ids", "cls.")


@dataclass(frozen=True)
class QatRange:
    """The scales of one int8 linear layer: inputs are rounded to x / input_scale + input_zero_point as uint8."""

    input_scale: float
    input_zero_point: int  # 0 to 255; 128 if the range is symmetric
    weight_scale: Float32  # [N], of each row of the weight
    input_smooth: Float32 | None = None  # [K], by which the input is divided first, and weights multiplied; None: ones
    least_step: int = -127  # of a weight

    @classmethod
    def symmetric(cls, input_amax: float, weight_scale: Float32) -> QatRange:
        """For an input in [-input_amax, input_amax]."""
        return cls(input_amax / 127, 128, weight_scale)


@dataclass(frozen=True)
class ModelWeights:
    """All tensors of a model: exactly the names and shapes of `config.shapes()`, float32."""

    config: Geometry
    tensors: Tensors
    ranges: Mapping[str, QatRange] = field(default_factory=dict)  # linear layer (without ".weight") → its range


def checked(path: Path, config: Geometry, found: Mapping[str, Any]) -> Tensors:
    """The tensors of `config`, float32, from those found in `path`. Raises as `require_shapes`, or for a value."""
    require_shapes(path, config, found)
    return {name: finite_float32(path, name, found[name]) for name in config.shapes()}


def require_shapes(path: Path, config: Geometry, found: Mapping[str, Any]) -> None:
    """Check that the tensors found in `path` are those of `config`.

    Raises:
        BackendError: one is missing, unknown or has the wrong shape; the message names it.
    """
    shapes = config.shapes()
    missing = sorted(set(shapes) - set(found))
    unused = tuple(prefix.format(config.model_type) for prefix in _UNUSED)
    extra = [name for name in found if name not in shapes and not name.startswith(unused)]
    if missing:
        others = f"; it has others, such as {extra[0]}" if extra else ""
        raise BackendError(
            f"expected {len(shapes)} tensors of a {config.title} for {HEADS[config.head].title} in {path}, "
            f"found {len(missing)} missing, including {missing[0]}{others}. {_ANOTHER}"
        )
    for name, shape in shapes.items():
        if tuple(found[name].shape) != shape:
            raise BackendError(
                f"expected {name} of shape {shape} in {path}, found {tuple(found[name].shape)}. {_ANOTHER}"
            )
    if extra:
        raise BackendError(
            f"expected only tensors of a {config.title} in {path}, found {len(extra)} others, including {extra[0]}. "
            f"{_ANOTHER}"
        )


_ANOTHER = "Type another --model, or correct its config.json."


def finite_float32(path: Path, name: str, tensor: npt.NDArray[Any]) -> Float32:
    """The tensor in float32: one of integers, or with a value that is not finite, holds no weights."""
    if not (np.issubdtype(tensor.dtype, np.floating) or tensor.dtype.name == _BFLOAT16):
        raise BackendError(
            f"expected floating-point weights as {name} in {path}, found {tensor.dtype}. "
            f"Name the model before it was quantized or converted."
        )
    with np.errstate(over="ignore"):  # of a float64 beyond float32's range, which is infinite then
        values = np.ascontiguousarray(tensor, np.float32)
    if not (np.isfinite(values.min()) and np.isfinite(values.max())):  # both hand on NaN, and need no array of flags
        raise BackendError(f"expected finite weights as {name} in {path}, found NaN or infinity. Type another --model.")
    return values
