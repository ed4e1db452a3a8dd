"""What the figure of a run depends on, by content: what a node and the run that uses it must have in common."""

from __future__ import annotations

from typing import NamedTuple

from backends import BACKENDS
from backends.bert import checkpoints
from backends.bert.model import Model
from backends.quantization import engine_store
from sut.nodes.messages import Identity
from sut.running import engines
from sut.running.prepare import Prepared


class EngineIdentity(NamedTuple):
    """A built engine."""

    key: str
    calibrated_on: str | None  # the digest of the features; None: of none


def of(prepared: Prepared) -> Identity:
    """The identity of a prepared run or node."""
    config = prepared.config
    return Identity(
        task=config.task,
        model=_model(prepared.model, config.backend),
        vocabulary=prepared.data.vocab.sha256,
        backend=config.backend,
        precision=prepared.precision,
        features=prepared.features.digest(),
    )


def _model(model: Model, backend: str) -> str:
    if not BACKENDS[backend].runs_model and model.served is None:
        return backend
    return model.spec if model.path is None else checkpoints.digest(model)


def engine(model: Model) -> EngineIdentity | None:
    """The model's engine; None without one."""
    if model.engine is None:
        return None
    found = engine_store.settings(model.engine).get(engines.DIGEST)
    return EngineIdentity(model.engine.name, found if isinstance(found, str) else None)
