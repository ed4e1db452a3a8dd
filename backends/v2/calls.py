"""A batch as calls of a model on a server, and their outputs as the batch's answer.

A model without limits gets the batch as it is, a rectangle of int64 or int32, in one call. One with a largest or a
fixed batch gets it in parts, one with a fixed length padded to it, one without a mask in parts of one length each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from backends.base import Batch
from backends.bert.heads import COLUMNS, SPANS
from backends.errors import BackendError
from backends.formats.graph_calls import ARRAYS
from backends.v2.signature import ServedSignature
from backends.v2.tensors import Tensor
from foundation.arrays import Float32

Outputs = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Call:
    """Samples of a batch that travel together, in a rectangle of this shape."""

    batch: Batch
    shape: tuple[int, int]  # with the padding that the model requires


def of(batch: Batch, signature: ServedSignature) -> list[Call]:
    """The calls for a batch. Raises BackendError for a sample that is longer than a fixed length."""
    graph = signature.graph
    if graph.length is not None and batch.max_length > graph.length:
        raise BackendError(
            f"expected samples of up to {graph.length} tokens, the fixed length of the model on the server, found "
            f"{batch.max_length}. Serve the model with a free length."
        )
    parts = [batch] if _fits(batch, signature) else list(_parts(batch, signature))
    return [Call(part, (graph.batch or len(part), graph.length or part.max_length)) for part in parts]


def _fits(batch: Batch, signature: ServedSignature) -> bool:
    most = signature.graph.batch or signature.most_batch
    return (most is None or len(batch) <= most) and (signature.has_mask or len(np.unique(batch.lengths)) == 1)


def _parts(batch: Batch, signature: ServedSignature) -> Iterator[Batch]:
    most, lengths, start = signature.graph.batch or signature.most_batch or len(batch), batch.lengths, 0
    for stop in range(1, len(batch) + 1):
        is_last = stop == len(batch)
        changes = not is_last and not signature.has_mask and lengths[stop] != lengths[start]
        if is_last or changes or stop - start == most:
            yield _samples(batch, start, stop)
            start = stop


def _samples(batch: Batch, start: int, stop: int) -> Batch:
    ends = batch.cu_seqlens[start : stop + 1]
    where = slice(ends[0], ends[-1])
    return Batch(batch.input_ids[where], batch.token_type_ids[where], batch.position_ids[where], ends - ends[0])


def inputs(call: Call, signature: ServedSignature) -> tuple[Tensor, ...]:
    """The inputs of a call."""
    padded = call.batch.padded()
    return tuple(
        Tensor(one.name, datatype, _wide(ARRAYS[one.field](padded), call.shape).astype(one.dtype, copy=False))
        for one, datatype in zip(signature.graph.inputs, signature.datatypes, strict=True)
    )


def _wide(array: npt.NDArray[Any], shape: tuple[int, int]) -> npt.NDArray[Any]:
    """[B, S] padded with zeros to `shape`."""
    if array.shape == shape:
        return array
    return np.pad(array, [(0, there - here) for here, there in zip(array.shape, shape, strict=True)])


def answer(call: Call, signature: ServedSignature, outputs: Outputs) -> Float32:
    """The rows of a call's samples, float32 [T, 2] or [B, 2], from its outputs by name.

    Raises:
        BackendError: the outputs are not there, or have other shapes.
    """
    graph = signature.graph
    missing = [name for name in graph.outputs if name not in outputs]
    if missing:
        raise BackendError(f"expected the output {missing[0]!r} of the server, found {', '.join(outputs) or 'none'}.")
    if graph.head != SPANS:
        return _cut(outputs[graph.outputs[0]], (call.shape[0], COLUMNS), len(call.batch))
    if signature.is_joint:
        both = _cut(outputs[graph.outputs[0]], (*call.shape, COLUMNS), len(call.batch))
    else:
        both = np.stack([_cut(outputs[name], call.shape, len(call.batch)) for name in graph.outputs], axis=-1)
    return call.batch.pack(both[:, : call.batch.max_length])


def _cut(array: npt.NDArray[Any], shape: tuple[int, ...], samples: int) -> Float32:
    """The rows of samples in an output of this shape; an axis of one element may be at its end."""
    if array.shape not in (shape, (*shape, 1)):
        raise BackendError(f"expected an output {list(shape)} of the server, found {list(array.shape)}.")
    return np.ascontiguousarray(array.reshape(shape)[:samples], np.float32)
