"""A model that was found but not read: small enough to send to every instance."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from backends.bert.config import BertConfig
from backends.bert.heads import SPANS

RANDOM_PREFIX = "random:"
GRAPH_SUFFIX = ".onnx"


@dataclass(frozen=True)
class Model:
    """Where a model is and what is known of it without reading its weights."""

    spec: str  # as the user typed it
    config: BertConfig | None  # None: not read yet (`checkpoints.with_config`), or no model at all
    path: Path | None  # a directory or file; None for random weights
    engine: Path | None = None  # directory of the built engine, for precisions that need one
    answers: str = SPANS  # the head of a model without a config: of its graph, or of the fake backend

    @property
    def head(self) -> str:
        """Its head, a key of `heads.HEADS`."""
        return self.config.head if self.config else self.answers

    @property
    def is_random(self) -> bool:
        """True for random weights."""
        return self.spec.startswith(RANDOM_PREFIX)

    @property
    def is_graph(self) -> bool:
        """True for an .onnx file, which an engine may run as it is."""
        return self.path is not None and self.path.suffix == GRAPH_SUFFIX
