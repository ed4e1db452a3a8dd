"""A model that was found but not read: small enough to send to every instance."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from backends.bert.architectures import Geometry
from backends.bert.heads import SPANS
from backends.bert.signature import Signature, Tables
from backends.served import ServerFacts

RANDOM_PREFIX = "random:"
GRAPH_SUFFIX = ".onnx"


@dataclass(frozen=True)
class Model:
    """Where a model is and what is known of it without reading its weights."""

    spec: str  # as the user typed it
    config: Geometry | None  # None: not read yet (`checkpoints.with_config`), a graph, or no model at all
    path: Path | None  # a directory or file; None for random weights
    engine: Path | None = None  # directory of the built engine, for precisions that need one
    answers: str = SPANS  # the head of a model with neither config nor graph, such as the fake backend's
    graph: Signature | None = None  # of an .onnx file that runs as it is (`checkpoints.with_signature`), or on a server
    served: ServerFacts | None = None  # of a model that runs on a server

    @property
    def head(self) -> str:
        """Its head, a key of `heads.HEADS`."""
        known = self.config or self.graph
        return known.head if known else self.answers

    @property
    def geometry(self) -> Geometry | None:
        """Its geometry, as far as it is known without its weights: for figures."""
        return self.config or (self.graph.geometry if self.graph else None)

    @property
    def tables(self) -> Tables:
        """The rows of its embedding tables, as far as they are known."""
        if self.config is None:
            return self.graph.tables if self.graph else Tables()
        return Tables(self.config.vocab_size, self.config.type_vocab_size, self.config.max_position_embeddings)

    @property
    def most_tokens(self) -> int | None:
        """The longest sample that it takes; None: not known."""
        return self.tables.positions if self.graph is None else self.graph.most_tokens

    @property
    def is_random(self) -> bool:
        """True for random weights."""
        return self.spec.startswith(RANDOM_PREFIX)

    @property
    def is_graph(self) -> bool:
        """True for an .onnx file, which an engine may run as it is."""
        return self.path is not None and self.path.suffix == GRAPH_SUFFIX
