"""A model as it is found, before anything of it is read: small enough to send to every instance."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from backends.bert.config import BertConfig
from backends.bert.heads import SPANS

RANDOM_PREFIX = "random:"
GRAPH_SUFFIX = ".onnx"


@dataclass(frozen=True)
class Model:
    """Where a model lies and what is known of it without reading its weights."""

    spec: str  # what the user named
    config: BertConfig | None  # None: not known yet (`checkpoints.with_config`), or the fake backend's script
    path: Path | None  # the directory or file; None for random weights
    engine: Path | None = None  # the built engine's directory, for precisions that need one
    answers: str = SPANS  # the head of a model without a config: what its graph gives, or what the fake is to give

    @property
    def head(self) -> str:
        """What it answers with, of `heads.HEADS`."""
        return self.config.head if self.config else self.answers

    @property
    def is_random(self) -> bool:
        """True for weights that were drawn, not trained."""
        return self.spec.startswith(RANDOM_PREFIX)

    @property
    def is_graph(self) -> bool:
        """True for an .onnx file, which an engine may also run as it is."""
        return self.path is not None and self.path.suffix == GRAPH_SUFFIX
