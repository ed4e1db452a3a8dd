"""What both clients have in common: the calls of a server, and its errors in one line.

Every call has a deadline. Its errors are BackendErrors, which name the server.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from backends.access import Access
from backends.base import Pending
from backends.errors import BackendError
from backends.v2 import signature as signatures
from backends.v2.address import Address
from backends.v2.messages import InferRequest, InferResponse, ModelMetadata, ServerMetadata
from backends.v2.signature import ServedSignature
from foundation.foreign_text import printable

LOOK_UP_S = 10.0  # of each call that finds out what the server is
MOST_BYTES = 256 << 20  # of an answer
_MOST_TEXT = 500  # characters of a server's message


@dataclass(frozen=True)
class Found:
    """A model that is ready on a server."""

    server: ServerMetadata
    model: ModelMetadata
    most_batch: int | None  # samples of a call, if the server says it

    @property
    def signature(self) -> ServedSignature:
        """Raises BackendError for a model that is no BERT."""
        return signatures.of(self.model, self.most_batch)


class Client(Protocol):
    """A connection to a server, for one model."""

    def look_up(self) -> Found:
        """What the server is, and the model. Raises BackendError: one of them is not there, or not ready."""

    def begin(self, request: InferRequest, deadline_s: float) -> Pending[InferResponse]:
        """Send a request, and return at once. `answers` raises BackendError."""

    def close(self) -> None:
        """End all calls and connections."""


def bearer(access: Access) -> dict[str, str]:
    """The header that has the token. Raises BackendError for one that does not fit into a header."""
    if access.token is None:
        return {}
    if not (access.token.isascii() and access.token.isprintable() and " " not in access.token):
        raise BackendError("expected a token of printable ASCII in --token-file, as HTTP and gRPC carry it.")
    return {"Authorization": f"Bearer {access.token}"}


def unreachable(address: Address, reason: str) -> BackendError:
    """Nothing there speaks the protocol."""
    return BackendError(
        f"expected a server of KServe v2 ({address.protocol}) at {address.server}, found: {_shown(reason)}. Type the "
        "address of one that runs as --model."
    )


def late(address: Address, deadline_s: float) -> BackendError:
    """A call has passed its deadline."""
    return BackendError(f"expected an answer of the server at {address.server} within {deadline_s:g} s, found none.")


def refused(address: Address, reason: str) -> BackendError:
    """The server answered with an error, or with something else than an answer."""
    return BackendError(
        f"expected an answer of the server at {address.server} to model {printable(address.model)!r}, found: "
        f"{_shown(reason)}."
    )


def _not_ready(address: Address, what: str) -> BackendError:
    return BackendError(
        f"expected {what} at {address.server} to be ready, found that it is not. Wait until it has loaded, or check "
        "the name."
    )


def check_ready(address: Address, server: bool, model: bool) -> None:
    """Raises BackendError."""
    if not server:
        raise _not_ready(address, "the server")
    if not model:
        raise _not_ready(address, f"the model {printable(address.model)!r}")


def _shown(text: str) -> str:
    """A server's message in one line, without a full stop."""
    return printable(" ".join(text.split()))[:_MOST_TEXT].rstrip(". ") or "no reason"
