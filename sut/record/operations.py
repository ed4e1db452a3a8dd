"""The operations that the answered samples of a run took: what the engine multiplies, for the samples' own tokens.

Heads and neurons that an engine leaves out and zeros that it skips are not counted, so a rate of operations never has
what was not computed. Padding is computed, but no work for a sample, and is not counted either.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from backends.bert.architectures import Geometry
from sut.record.measurements import InstanceReady, Progress

# Bytes of a weight in a product, by the precision that runs.
_BYTES = {"fp32": 4, "bf16": 2, "fp16": 2, "fp8": 1, "int8": 1, "int8-dynamic": 1}


@dataclass(frozen=True, kw_only=True)
class Operations:
    """Multiplications and additions of all answered samples, and the weights that each batch reads for them."""

    products: int  # of tokens with weights
    attention: int  # of tokens with each other
    weight_bytes: int | None  # None: of a precision that is not known


def of(geometry: Geometry, precision: str, progress: Progress, ready: Sequence[InstanceReady] = ()) -> Operations:
    """The operations of the samples that `progress` counts, on instances that say what they multiply, or all of it."""
    each = _BYTES.get(precision)
    weights = _mean((one.product_weights for one in ready), geometry.product_weights)
    channels = _mean((one.attention_channels for one in ready), geometry.attention_channels)
    return Operations(
        products=2 * weights * progress.tokens,
        attention=2 * 2 * channels * (progress.squared_tokens or 0),  # queries with keys, and weights with values
        weight_bytes=None if each is None else each * weights,
    )


def _mean(known: Iterable[int | None], whole: int) -> int:
    """Of instances: they may find another product faster than their neighbours do."""
    return round(fmean([whole if one is None else one for one in known] or [whole]))
