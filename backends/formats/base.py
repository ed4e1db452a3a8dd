"""What a reader gives: weights, their geometry and, from a quantized model, the scales that it was trained with."""

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
# Parts of published checkpoints that a head may leave unused.
_UNUSED = ("bert.pooler.", "bert.embeddings.position_ids", "cls.")


@dataclass(frozen=True)
class QatRange:
    """How one linear layer is rounded: x / input_scale + input_zero_point to uint8, each weight row by its scale."""

    input_scale: float
    input_zero_point: int  # 0 to 255; 128 where it is symmetric
    weight_scale: Float32  # [N]

    @classmethod
    def symmetric(cls, input_amax: float, weight_scale: Float32) -> QatRange:
        """Of an input that reaches from -input_amax to input_amax."""
        return cls(input_amax / 127, 128, weight_scale)


@dataclass(frozen=True)
class ModelWeights:
    """Exactly the names and shapes of `config.shapes()`, float32."""

    config: BertConfig
    tensors: Tensors
    ranges: Mapping[str, QatRange] = field(default_factory=dict)  # linear layer, without ".weight" → its range


def checked(path: Path, config: BertConfig, found: Mapping[str, Any]) -> Tensors:
    """The tensors of `config` out of what was found in `path`.

    Raises:
        BackendError: one is missing, has another shape or has no place; it is named.
    """
    wanted = config.shapes()
    missing = sorted(set(wanted) - set(found))
    if missing:
        raise BackendError(
            f"expected {len(wanted)} tensors of a BERT for {HEADS[config.head].title} in {path}, "
            f"found {len(missing)} missing, among them {missing[0]}."
        )
    for name, shape in wanted.items():
        if tuple(found[name].shape) != shape:
            raise BackendError(f"expected {name} of shape {shape} in {path}, found {tuple(found[name].shape)}.")
    extra = [name for name in found if name not in wanted and not name.startswith(_UNUSED)]
    if extra:
        raise BackendError(f"found {len(extra)} tensors in {path} that BERT has no place for, among them {extra[0]}.")
    return {name: np.ascontiguousarray(found[name], np.float32) for name in wanted}
