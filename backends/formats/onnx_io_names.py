"""The names under which published BERT graphs have their inputs and outputs, for whatever engine runs them.

MLPerf's two graphs differ from each other and both from what exporters write, so inputs are told by their names and
never by their place. What we write ourselves has the names of MLPerf's fp32 graph.
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
# A graph's input → the field of `Padded` that is fed to it.
_FIELDS = {
    "input_ids": "input_ids",
    "input_mask": "attention_mask",
    "attention_mask": "attention_mask",
    "segment_ids": "token_type_ids",
    "token_type_ids": "token_type_ids",
}
# What a head gives, each under the names that exporters use.
_OUTPUTS: dict[str, tuple[tuple[str, ...], ...]] = {
    SPANS: (("output_start_logits", "start_logits"), ("output_end_logits", "end_logits")),
    CLASSES: (("logits", "output_logits"),),
}
Inputs = dict[str, str]


def match_inputs(model: Model, found: list[str]) -> Inputs:
    """Input name of the graph → field of `Padded`.

    Raises:
        BackendError: they are not the three of a BERT.
    """
    matched = {name: _FIELDS[name] for name in found if name in _FIELDS}
    if len(matched) != len(found) or sorted(matched.values()) != sorted(set(_FIELDS.values())):
        raise BackendError(
            f"expected the inputs input_ids, input_mask (or attention_mask), segment_ids (or token_type_ids) "
            f"in {model.spec}, found {', '.join(found)}."
        )
    return matched


def match_outputs(model: Model, found: Iterable[str]) -> list[str]:
    """The graph's names for what its head gives: start and end logits, or the logits of the classes.

    Raises:
        BackendError: it has neither.
    """
    return _match(model, list(found))[1]


def head(model: Model, found: Iterable[str]) -> str:
    """The head, of `heads.HEADS`, of a graph with these outputs. Raises as `match_outputs` does."""
    return _match(model, list(found))[0]


def classes(found: Iterable[str]) -> list[str]:
    """The output that holds the logits of classes; nothing where none has that name."""
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
    """What a backend gives, out of a graph's outputs: [B, S] twice, cut back to [T, 2]; or [B, 2] as it is.

    Raises:
        BackendError: they have other shapes.
    """
    if len(outputs) == COLUMNS:
        return batch.pack(np.stack(outputs, axis=-1))
    if outputs[0].shape != (len(batch), COLUMNS):
        raise BackendError(f"expected logits of two classes, [{len(batch)}, 2], found {list(outputs[0].shape)}.")
    return np.array(outputs[0], np.float32)


def feed(inputs: Inputs, padded: Padded) -> dict[str, Int64]:
    """What to hand to the graph: its input names, each with int64 [B, S]."""
    return {name: getattr(padded, field) for name, field in inputs.items()}
