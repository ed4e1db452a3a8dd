"""What a reader returns: weights, their geometry and, for a quantized model, the scales it was trained with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from backends.bert.config import BertConfig
from backends.bert.heads import HEADS
from backends.errors import BackendError
from foundation.arrays import Float32

Tensors = dict[str, Float32]
# Prefixes of tensors in published checkpoints that a head does not use.
_UNUSED = ("bert.pooler.", "bert.embeddings.position_ids", "cls.")


@dataclass(frozen=True)
class QatRange:
    """The scales of one int8 linear layer: inputs are rounded to x / input_scale + input_zero_point as uint8."""

    input_scale: float
    input_zero_point: int  # 0 to 255; 128 if the range is symmetric
    weight_scale: Float32  # [N], of each row of the weight

    @classmethod
    def symmetric(cls, input_amax: float, weight_scale: Float32) -> QatRange:
        """For an input in [-input_amax, input_amax]."""
        return cls(input_amax / 127, 128, weight_scale)


@dataclass(frozen=True)
class ModelWeights:
    """All tensors of a model: exactly the names and shapes of `config.shapes()`, float32."""

    config: BertConfig
    tensors: Tensors
    ranges: Mapping[str, QatRange] = field(default_factory=dict)  # linear layer (without ".weight") → its range


def checked(path: Path, config: BertConfig, found: Mapping[str, Any]) -> Tensors:
    """The tensors of `config`, float32, from those found in `path`.

    Raises:
        BackendError: one is missing, unknown or has the wrong shape; the message names it.
    """
    shapes = config.shapes()
    missing = sorted(set(shapes) - set(found))
    if missing:
        raise BackendError(
            f"expected {len(shapes)} tensors of a BERT for {HEADS[config.head].title} in {path}, "
            f"found {len(missing)} missing, including {missing[0]}."
        )
    for name, shape in shapes.items():
        if tuple(found[name].shape) != shape:
            raise BackendError(f"expected {name} of shape {shape} in {path}, found {tuple(found[name].shape)}.")
    extra = [name for name in found if name not in shapes and not name.startswith(_UNUSED)]
    if extra:
        raise BackendError(
            f"expected only tensors of a BERT in {path}, found {len(extra)} others, including {extra[0]}."
        )
    return {name: np.ascontiguousarray(found[name], np.float32) for name in shapes}
