"""The names under which published BERT graphs have their inputs and outputs, for whatever engine runs them.

MLPerf's two graphs differ from each other and both from what exporters write, so inputs are told by their names and
never by their place. What we write ourselves has the names of MLPerf's fp32 graph.
"""

from __future__ import annotations

from collections.abc import Iterable

from backends.base import BackendError, Int64, Padded
from backends.checkpoints import Model

INPUTS = ("input_ids", "input_mask", "segment_ids")
OUTPUTS = ("output_start_logits", "output_end_logits")
# A graph's input → the field of `Padded` that is fed to it.
_FIELDS = {
    "input_ids": "input_ids",
    "input_mask": "attention_mask",
    "attention_mask": "attention_mask",
    "segment_ids": "token_type_ids",
    "token_type_ids": "token_type_ids",
}
_STARTS, _ENDS = ("output_start_logits", "start_logits"), ("output_end_logits", "end_logits")
Inputs = dict[str, str]


def match_inputs(model: Model, found: list[str]) -> Inputs:
    """Input name of the graph → field of `Padded`.

    Raises:
        BackendError: they are not the three of a BERT.
    """
    matched = {name: _FIELDS[name] for name in found if name in _FIELDS}
    if len(matched) != len(found) or sorted(matched.values()) != sorted(set(_FIELDS.values())):
        raise BackendError(
            f"wanted the inputs input_ids, input_mask (or attention_mask), segment_ids (or token_type_ids) "
            f"in {model.spec}, found {', '.join(found)}."
        )
    return matched


def match_outputs(model: Model, found: Iterable[str]) -> list[str]:
    """The graph's names for the start and the end logits.

    Raises:
        BackendError: it has no such two.
    """
    there = list(found)
    pair = [name for known in (_STARTS, _ENDS) for name in known if name in there]
    if len(pair) != 2:
        raise BackendError(
            f"wanted the outputs output_start_logits and output_end_logits in {model.spec}, found {', '.join(there)}."
        )
    return pair


def feed(inputs: Inputs, padded: Padded) -> dict[str, Int64]:
    """What to hand to the graph: its input names, each with int64 [B, S]."""
    return {name: getattr(padded, field) for name, field in inputs.items()}
