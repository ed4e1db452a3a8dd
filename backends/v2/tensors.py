"""A tensor of the protocol, and its two forms: raw little-endian bytes, and a list of numbers.

Whatever a peer sends becomes an array of the shape that it states, or a `FormError` that says what does not fit. No
memory is taken by a stated shape: the values are there already, and are counted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

# Datatype of the protocol → numpy's, as it travels.
DTYPES: dict[str, str] = {
    "BOOL": "|b1",
    "INT8": "|i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "UINT8": "|u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}
_KINDS = {"b": "b", "i": "iu", "u": "iu", "f": "iuf"}  # kind of a datatype → kinds of numbers that it may be written as
_MOST_DIMENSIONS, _MOST_SIDE = 8, 1 << 31
MOST_NAME = 256  # characters of a tensor's or model's name, or of an id


class FormError(ValueError):
    """A message that is not the protocol: what was expected, what was found."""


class Tensor(NamedTuple):
    """A named array; `datatype` is a key of DTYPES."""

    name: str
    datatype: str
    array: npt.NDArray[Any]

    @property
    def shape(self) -> list[int]:
        return list(self.array.shape)

    @property
    def raw(self) -> bytes:
        """Its values as they travel."""
        return np.ascontiguousarray(self.array, DTYPES[self.datatype]).tobytes()


def from_raw(name: str, datatype: str, shape: Sequence[int], data: bytes | memoryview) -> Tensor:
    """A tensor whose array is a read-only view of `data`. Raises FormError."""
    dtype = _dtype(name, datatype)
    found = np.frombuffer(data, dtype) if len(data) % dtype.itemsize == 0 else None
    if found is None or found.size != _size(name, shape):
        raise FormError(f"expected {_size(name, shape)} {datatype} in {name!r}, found {len(data)} bytes")
    return Tensor(name, datatype, found.reshape(shape))


def from_values(name: str, datatype: str, shape: Sequence[int], values: object) -> Tensor:
    """A tensor of numbers, flat or nested as its shape. Raises FormError."""
    dtype = _dtype(name, datatype)
    try:
        found = np.asarray(values)
    except (ValueError, OverflowError):  # ragged, or a number beyond all types
        raise FormError(f"expected numbers in {name!r}, found lists of different lengths") from None
    if found.size and found.dtype.kind not in _KINDS[dtype.kind]:
        raise FormError(f"expected {datatype} in {name!r}, found other values")
    if found.size != _size(name, shape) or (found.ndim != 1 and list(found.shape) != list(shape)):
        raise FormError(f"expected {_size(name, shape)} values in {name!r}, found {found.size}")
    if found.size and dtype.kind in "iu" and not _is_in_range(found, dtype):
        raise FormError(f"expected {datatype} in {name!r}, found {found.min()} to {found.max()}")
    return Tensor(name, datatype, found.astype(dtype).reshape(shape))


def _is_in_range(found: npt.NDArray[Any], dtype: np.dtype[Any]) -> bool:
    limits = np.iinfo(dtype)
    return int(found.min()) >= limits.min and int(found.max()) <= limits.max


def _dtype(name: str, datatype: str) -> np.dtype[Any]:
    if datatype not in DTYPES:
        raise FormError(f"expected one of {', '.join(DTYPES)} as the datatype of {name!r}, found {datatype!a}")
    return np.dtype(DTYPES[datatype])


def _size(name: str, shape: Sequence[int]) -> int:
    if len(shape) > _MOST_DIMENSIONS or any(not 0 <= side < _MOST_SIDE for side in shape):
        raise FormError(f"expected the shape of {name!r} in up to {_MOST_DIMENSIONS} sizes, found {list(shape)[:9]}")
    return math.prod(shape)
