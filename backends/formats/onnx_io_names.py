"""The names of inputs and outputs in published BERT graphs.

MLPerf's two graphs differ from each other and from what exporters write, so inputs are matched by name, never by
position. Graphs written here have the names of MLPerf's fp32 graph.
"""

from __future__ import annotations

from collections.abc import Sequence

from backends.bert.heads import CLASSES, SPANS
from backends.bert.signature import Field

INPUTS = ("input_ids", "input_mask", "segment_ids")
OUTPUTS = {SPANS: ("output_start_logits", "output_end_logits"), CLASSES: ("logits",)}  # of the graphs written here
# Name of a graph's input → what it receives.
FIELDS: dict[str, Field] = {
    "input_ids": "input_ids",
    "input_mask": "attention_mask",
    "attention_mask": "attention_mask",
    "segment_ids": "token_type_ids",
    "token_type_ids": "token_type_ids",
    "position_ids": "positions",
}
REQUIRED: set[Field] = {"input_ids", "attention_mask", "token_type_ids"}
# For each output of a head, the names that exporters use.
_OUTPUTS: dict[str, tuple[tuple[str, ...], ...]] = {
    SPANS: (("output_start_logits", "start_logits"), ("output_end_logits", "end_logits")),
    CLASSES: (("logits", "output_logits"),),
}


def plain(name: str) -> str:
    """The name without the output's number, which TensorFlow appends: input_ids:0 → input_ids."""
    stem, _, number = name.rpartition(":")
    return stem if stem and number.isdecimal() else name


def named(head: str, found: Sequence[str]) -> tuple[str, ...] | None:
    """The outputs of a head (a key of `heads.HEADS`) among `found`, by their names; None if they are not there."""
    matched = tuple(one for known in _OUTPUTS[head] for one in found if plain(one) in known)
    return matched if len(matched) == len(_OUTPUTS[head]) else None
