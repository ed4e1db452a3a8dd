"""The operations that the answered samples of a run took, counted from the model's geometry and their own lengths.

Padding is no work for a sample, so it is not counted: the same samples take the same operations on every engine.
"""

from __future__ import annotations

from dataclasses import dataclass

from backends.bert.architectures import Geometry
from sut.record.measurements import Progress

# Bytes of a weight in a product, by the precision that runs.
_BYTES = {"fp32": 4, "bf16": 2, "fp16": 2, "fp8": 1, "int8": 1, "int8-dynamic": 1}


@dataclass(frozen=True, kw_only=True)
class Operations:
    """Multiplications and additions of all answered samples, and the weights that each batch reads for them."""

    products: int  # of tokens with weights
    attention: int  # of tokens with each other
    weight_bytes: int | None  # None: of a precision that is not known


def of(geometry: Geometry, precision: str, progress: Progress) -> Operations:
    """The operations of the samples that `progress` counts."""
    each = _BYTES.get(precision)
    return Operations(
        products=geometry.operations_per_token * progress.tokens,
        attention=geometry.attention_operations(progress.squared_tokens or 0),
        weight_bytes=None if each is None else each * geometry.product_weights,
    )
