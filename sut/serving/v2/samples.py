"""From a request's tensors to samples without padding, and from their outputs back to tensors.

Clients send a rectangle [samples, tokens] and a mask. Padding is cut off here and never computed by a packed engine;
its places in an answer have a logit that no search for the best answer takes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from backends.bert.heads import CLASSES, COLUMNS, SPANS
from backends.bert.signature import Field
from backends.formats.onnx_io_names import FIELDS, plain
from backends.v2.messages import TensorMetadata
from backends.v2.tensors import Tensor
from foundation.arrays import Bool, Float32, Int64
from sut.nodes.messages import Tokens
from sut.serving.v2.errors import RequestError

MODEL, VERSION = "bert", "1"  # under which the node's model is served
PADDING = -10000.0
_TYPES = ("INT64", "INT32")
_FREE = (-1, -1)
INPUTS = tuple(TensorMetadata(name, "INT64", _FREE) for name in ("input_ids", "attention_mask", "token_type_ids"))
OUTPUTS = {
    SPANS: (
        TensorMetadata("start_logits", "FP32", _FREE),
        TensorMetadata("end_logits", "FP32", _FREE),
        TensorMetadata("logits", "FP32", (*_FREE, COLUMNS)),
    ),
    CLASSES: (TensorMetadata("logits", "FP32", (-1, COLUMNS)),),
}
_TAKEN: set[Field] = {"input_ids", "attention_mask", "token_type_ids"}


@dataclass(frozen=True)
class Samples:
    """The samples of a request."""

    tokens: Tokens
    is_token: Bool  # [B, L], where the rectangle has a token


def read(inputs: Sequence[Tensor]) -> Samples:
    """The samples in a request's inputs. Raises RequestError."""
    found = _by_field(inputs)
    ids = found["input_ids"]
    if ids.ndim != 2 or not ids.size or any(array.shape != ids.shape for array in found.values()):
        shapes = ", ".join(f"{one.name} {one.shape}" for one in inputs)
        raise RequestError("invalid", f"expected inputs of one shape [samples, tokens], found {shapes}")
    if ids.min() < 0 or ids.max() > np.iinfo(np.int32).max:
        raise RequestError("invalid", f"expected token ids from 0, found {ids.min()} to {ids.max()}")
    places = np.arange(ids.shape[1])
    lengths = _prefixes(found.get("attention_mask"), "attention_mask", places, ids.shape)
    is_token = places < lengths[:, None]
    types = found.get("token_type_ids")
    second = None if types is None else np.where(is_token, types, 1)
    splits = lengths if second is None else _prefixes(1 - second, "1 - token_type_ids", places, ids.shape, least=0)
    return Samples(Tokens(ids[is_token].astype(np.int32), lengths, np.minimum(splits, lengths)), is_token)


def _by_field(inputs: Sequence[Tensor]) -> dict[Field, npt.NDArray[Any]]:
    found: dict[Field, npt.NDArray[Any]] = {}
    for one in inputs:
        field = FIELDS.get(plain(one.name))
        if field not in _TAKEN or field in found:
            names = ", ".join(name for name, of in FIELDS.items() if of in _TAKEN)
            raise RequestError("invalid", f"expected inputs among {names}, each once, found {one.name!a}")
        if one.datatype not in _TYPES:
            raise RequestError("invalid", f"expected {one.name} of {' or '.join(_TYPES)}, found {one.datatype}")
        found[field] = one.array
    if "input_ids" not in found:
        raise RequestError("invalid", "expected an input input_ids, found none")
    return found


def _prefixes(
    array: npt.NDArray[Any] | None, name: str, places: npt.NDArray[Any], shape: tuple[int, ...], least: int = 1
) -> npt.NDArray[np.int64]:
    """How many ones each row begins with, int64 [B]; the rest must be zeros. None: all are ones."""
    if array is None:
        return np.full(shape[0], shape[1], np.int64)
    ones: npt.NDArray[np.int64] = (array == 1).sum(axis=1)
    if ones.min() < least or not np.array_equal(array, places < ones[:, None]):
        raise RequestError("invalid", f"expected {name} with ones, then zeros, in each sample, found other values")
    return ones


def pieces(tokens: Tokens, most_tokens: int, *, packed: bool) -> Iterator[Tokens]:
    """Samples in order as batches of about the same size, of up to `most_tokens` computed tokens."""
    limit = min(most_tokens, _share(tokens, most_tokens, packed=packed) + int(tokens.lengths.max()))
    ends = np.concatenate([[0], np.cumsum(tokens.lengths)])
    start = longest = 0
    for stop, length in enumerate(tokens.lengths.tolist()):
        longest = max(longest, length)
        size = int(ends[stop + 1] - ends[start]) if packed else (stop + 1 - start) * longest
        if size > limit and stop > start:
            yield _part(tokens, ends, start, stop)
            start, longest = stop, length
    yield _part(tokens, ends, start, len(tokens.lengths))


def _share(tokens: Tokens, most_tokens: int, *, packed: bool) -> int:
    """Computed tokens of each of as few batches as there can be."""
    lengths = tokens.lengths
    total = int(lengths.sum() if packed else len(lengths) * lengths.max())
    return -(-total // -(-total // most_tokens))


def _part(tokens: Tokens, ends: Int64, start: int, stop: int) -> Tokens:
    rows = slice(start, stop)
    return Tokens(tokens.ids[ends[start] : ends[stop]], tokens.lengths[rows], tokens.splits[rows])


def outputs(head: str, names: Sequence[str], samples: Samples, rows: Float32) -> tuple[Tensor, ...]:
    """The outputs of these names, of a model's rows [T, 2] or [B, 2]."""
    if head != SPANS:
        return tuple(Tensor(name, "FP32", rows) for name in names)
    both = np.full((*samples.is_token.shape, COLUMNS), PADDING, np.float32)
    both[samples.is_token] = rows
    found = {"start_logits": both[..., 0], "end_logits": both[..., 1], "logits": both}
    return tuple(Tensor(name, "FP32", found[name]) for name in names)
