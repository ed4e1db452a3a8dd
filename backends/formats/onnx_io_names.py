"""The names of inputs and outputs in published BERT graphs, for every engine that runs them.

MLPerf's two graphs differ from each other and from what exporters write, so inputs are matched by name, never by
position. Graphs written here have the names of MLPerf's fp32 graph.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from backends.base import Batch, Padded
from backends.bert.heads import CLASSES, COLUMNS, SPANS
from backends.errors import BackendError
from foundation.arrays import Float32, Int64

if TYPE_CHECKING:
    from backends.bert.model import Model

INPUTS = ("input_ids", "input_mask", "segment_ids")
OUTPUTS = {SPANS: ("output_start_logits", "output_end_logits"), CLASSES: ("logits",)}  # of the graphs written here
# Name of a graph's input → the field of `Padded` that it receives.
_FIELDS = {
    "input_ids": "input_ids",
    "input_mask": "attention_mask",
    "attention_mask": "attention_mask",
    "segment_ids": "token_type_ids",
    "token_type_ids": "token_type_ids",
}
# For each output of a head, the names that exporters use.
_OUTPUTS: dict[str, tuple[tuple[str, ...], ...]] = {
    SPANS: (("output_start_logits", "start_logits"), ("output_end_logits", "end_logits")),
    CLASSES: (("logits", "output_logits"),),
}
Inputs = dict[str, str]


def match_inputs(model: Model, found: list[str]) -> Inputs:
    """Name of each of the graph's inputs → field of `Padded`.

    Raises:
        BackendError: `found` is not the three inputs of a BERT.
    """
    matched = {name: _FIELDS[name] for name in found if name in _FIELDS}
    if len(matched) != len(found) or sorted(matched.values()) != sorted(set(_FIELDS.values())):
        raise BackendError(
            f"expected the inputs input_ids, input_mask (or attention_mask), segment_ids (or token_type_ids) "
            f"in {model.spec}, found {', '.join(found)}."
        )
    return matched


def match_outputs(model: Model, found: Iterable[str]) -> list[str]:
    """The names of the head's outputs: start and end logits, or class logits.

    Raises:
        BackendError: the graph has neither.
    """
    return _match(model, list(found))[1]


def head(model: Model, found: Iterable[str]) -> str:
    """The head (a key of `heads.HEADS`) of a graph with these outputs. Raises as `match_outputs`."""
    return _match(model, list(found))[0]


def classes(found: Iterable[str]) -> list[str]:
    """The name of the output with class logits, in a list; empty if there is none."""
    return _named(CLASSES, list(found))


def _named(name: str, found: list[str]) -> list[str]:
    return [one for known in _OUTPUTS[name] for one in known if one in found]


def _match(model: Model, found: list[str]) -> tuple[str, list[str]]:
    for name, outputs in _OUTPUTS.items():
        matched = _named(name, found)
        if len(matched) == len(outputs):
            return name, matched
    raise BackendError(
        f"expected the outputs output_start_logits and output_end_logits, or logits, in {model.spec}, "
        f"found {', '.join(found)}."
    )


def answers(batch: Batch, outputs: Sequence[Float32]) -> Float32:
    """What `Backend.infer` returns, from a graph's outputs: two [B, S] become [T, 2]; one [B, 2] stays as it is.

    Raises:
        BackendError: the outputs have other shapes.
    """
    if len(outputs) == COLUMNS:
        return batch.pack(np.stack(outputs, axis=-1))
    if outputs[0].shape != (len(batch), COLUMNS):
        raise BackendError(f"expected logits of two classes, [{len(batch)}, 2], found {list(outputs[0].shape)}.")
    return np.array(outputs[0], np.float32)


def feed(inputs: Inputs, padded: Padded) -> dict[str, Int64]:
    """The graph's inputs: name → int64 [B, S]."""
    return {name: getattr(padded, field) for name, field in inputs.items()}
