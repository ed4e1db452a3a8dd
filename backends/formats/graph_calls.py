"""Feeds a batch to a graph by its signature, and turns its outputs into answers, for every engine that runs graphs.

A graph for a fixed batch or length gets its batches in parts of that size, padded; one with free sizes gets each batch
as it is, in one call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from backends.base import Batch, Padded
from backends.bert.heads import COLUMNS, SPANS
from backends.bert.model import Model
from backends.bert.signature import Field, GraphInput, Signature
from backends.errors import BackendError
from backends.formats import onnx_signature
from backends.formats.onnx_io_names import FIELDS, INPUTS, OUTPUTS
from foundation.arrays import Float32

Feed = dict[str, npt.NDArray[Any]]
Run = Callable[[Feed], Sequence[Float32]]  # the outputs of a signature, in its order


# What an input receives → the array, of a batch as a rectangle.
ARRAYS: dict[Field, Callable[[Padded], npt.NDArray[Any]]] = {
    "input_ids": lambda padded: padded.input_ids,
    "attention_mask": lambda padded: padded.attention_mask,
    "token_type_ids": lambda padded: padded.token_type_ids,
    "positions": lambda padded: np.broadcast_to(np.arange(padded.input_ids.shape[1]), padded.input_ids.shape),
    "samples": lambda padded: np.arange(len(padded.input_ids)),
}


@dataclass(frozen=True)
class GraphCalls:
    """The calls of one graph."""

    signature: Signature

    @classmethod
    def of_file(cls, model: Model) -> GraphCalls:
        """Of a model that is an .onnx file. Raises BackendError as `onnx_signature.read`."""
        assert model.path is not None  # a graph has a path
        return cls(model.graph or onnx_signature.read(model.path))

    @classmethod
    def of_built(cls, head: str) -> GraphCalls:
        """Of the graphs that this package writes from weights, with a head of `heads.HEADS`."""
        inputs = tuple(GraphInput(name, FIELDS[name]) for name in INPUTS)
        return cls(Signature(head=head, inputs=inputs, outputs=OUTPUTS[head]))

    def infer(self, batch: Batch, run: Run) -> Float32:
        """What `Backend.infer` returns for `batch`.

        Raises:
            BackendError: a sample is longer than the graph's fixed length, or the outputs have other shapes.
        """
        outputs = self._padded_outputs(batch, run) if self._is_fixed else run(self.feed(batch))
        if self.signature.head == SPANS:
            shape = (len(batch), batch.max_length)
            return batch.pack(np.stack([_as(array, shape) for array in outputs], axis=-1))
        logits = _as(outputs[0], (len(batch), COLUMNS))[:, list(self.signature.order)]
        return np.ascontiguousarray(logits, np.float32)

    def computed_tokens(self, batch: Batch) -> int:
        """Tokens that the graph computes for this batch, padding included."""
        samples, length = self._size(batch)
        return samples * length

    def feed(self, batch: Batch) -> Feed:
        """The graph's inputs by name, for a batch of its size."""
        padded = batch.padded()
        return {one.name: ARRAYS[one.field](padded).astype(one.dtype, copy=False) for one in self.signature.inputs}

    @property
    def _is_fixed(self) -> bool:
        return self.signature.batch is not None or self.signature.length is not None

    def _size(self, batch: Batch) -> tuple[int, int]:
        """(samples, tokens of each) of `batch` with the padding that the graph requires."""
        at_once = self.signature.batch or 1
        return -(-len(batch) // at_once) * at_once, self.signature.length or batch.max_length

    def _padded_outputs(self, batch: Batch, run: Run) -> list[Float32]:
        samples, length = self._size(batch)
        if batch.max_length > length:
            raise BackendError(
                f"expected samples of up to {length} tokens, the fixed length of the graph, found {batch.max_length}. "
                f"Export it with a free length."
            )
        blank = Batch.blank(1, length)  # gives the rectangle its length; its answer is dropped with the padding
        rows = [*_samples(batch), *_samples(blank) * (samples - len(batch))]
        at_once = self.signature.batch or samples
        parts = []
        for start in range(0, samples, at_once):
            part = Batch.of(rows[start : start + at_once])
            feed = {name: _wide(array, length) for name, array in self.feed(part).items()}
            parts.append([np.array(array) for array in run(feed)])  # an engine may reuse its outputs' memory
        whole = [np.concatenate(arrays)[: len(batch)] for arrays in zip(*parts, strict=True)]
        return [array[:, : batch.max_length] if self.signature.head == SPANS else array for array in whole]


def _samples(batch: Batch) -> list[tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]]:
    where = [slice(start, stop) for start, stop in zip(batch.cu_seqlens[:-1], batch.cu_seqlens[1:], strict=True)]
    return [(batch.input_ids[one], batch.token_type_ids[one]) for one in where]


def _wide(array: npt.NDArray[Any], length: int) -> npt.NDArray[Any]:
    """[B, S] padded with zeros to [B, length]; arrays [B] as they are."""
    if array.ndim == 1 or array.shape[1] == length:
        return array
    return np.pad(array, ((0, 0), (0, length - array.shape[1])))


def _as(array: Float32, shape: tuple[int, int]) -> Float32:
    """`array` in this shape: axes of one element may be at its end, as where an exporter did not squeeze them."""
    if array.size != shape[0] * shape[1] or array.shape[: len(shape)] != shape:
        what = "logits of two classes" if shape[1] == COLUMNS else "logits of every token"
        raise BackendError(
            f"expected {what}, {list(shape)}, found {list(array.shape)}. Export the model with such outputs."
        )
    return array.reshape(shape)
