"""What an .onnx file takes and gives, and the sizes of its tables: found once, and sent to every instance that runs it.

It is data only, so that a model can hold it; `formats.onnx_signature` reads it, and `formats.graph_calls` acts on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from backends.bert.architectures import Geometry

# Of `backends.base.Padded`; or the index of each token, [B, S]; or of each sample in the batch, [B].
Field = Literal["input_ids", "attention_mask", "token_type_ids", "positions", "samples"]


@dataclass(frozen=True)
class Tables:
    """Rows of the embedding tables, which ids, token types and positions index; None: not known."""

    words: int | None = None
    types: int | None = None
    positions: int | None = None


@dataclass(frozen=True)
class GraphInput:
    """One input of a graph."""

    name: str
    field: Field
    dtype: str = "int64"  # numpy's name


@dataclass(frozen=True, kw_only=True)
class Signature:
    """The inputs and outputs of a graph."""

    head: str  # a key of heads.HEADS
    inputs: tuple[GraphInput, ...]
    outputs: tuple[str, ...]  # start and end logits, or the logits of the classes
    batch: int | None = None  # samples of every batch, if the graph takes one number only
    length: int | None = None  # tokens of every sample, likewise
    order: tuple[int, int] = (0, 1)  # the columns of class logits for negative and positive
    tables: Tables = Tables()
    geometry: Geometry | None = None  # None: the graph does not show it

    @property
    def most_tokens(self) -> int | None:
        """The longest sample: the positions, or the fixed length if that is less; None: not known."""
        return min((most for most in (self.length, self.tables.positions) if most is not None), default=None)
