"""What a server says of a model, found out once before a run, so that mistakes cost no start of instances."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from backends.access import Access
from backends.served import Served, ServerFacts
from backends.v2 import address
from backends.v2.connection import connect
from backends.v2.messages import TensorMetadata
from foundation.foreign_text import printable


def look_up(spec: str, access: Access) -> Served:
    """The model that a --model names. Raises BackendError: not there, not ready, or no BERT."""
    where = address.parse(spec)
    with contextlib.closing(connect(where, access)) as client:
        found = client.look_up()
    facts = ServerFacts(
        protocol=where.protocol,
        address=where.server,
        name=_text(found.server.name),
        version=_text(found.server.version),
        model=where.model,
        model_versions=tuple(map(_text, found.model.versions or ())),
        platform=_text(found.model.platform),
        most_batch=found.most_batch,
        inputs=_tensors(found.model.inputs),
        outputs=_tensors(found.model.outputs),
    )
    return Served(facts, found.signature.graph)


def _tensors(tensors: Iterable[TensorMetadata]) -> tuple[str, ...]:
    return tuple(_text(str(one)) for one in tensors)


def _text(text: str) -> str:
    return printable(text)[:200]
