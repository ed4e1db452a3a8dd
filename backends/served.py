"""A model that runs on a server of another system: what its server says of it."""

from __future__ import annotations

from dataclasses import dataclass

from backends.bert.signature import Signature


@dataclass(frozen=True, kw_only=True)
class ServerFacts:
    """What is known of a server and its model, for the record of a run."""

    protocol: str
    address: str
    name: str
    version: str
    model: str
    model_versions: tuple[str, ...]
    platform: str  # of the model
    most_batch: int | None  # samples of a call, if the server says it
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Served:
    """A model on a server."""

    facts: ServerFacts
    signature: Signature
