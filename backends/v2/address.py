"""The --model of this backend: which server, by which protocol, and which of its models.

v2://HOST:PORT/NAME             gRPC
v2+http://HOST:PORT/NAME        HTTP; v2+grpcs and v2+https are encrypted
v2://HOST:PORT/NAME/versions/V  a version of the model; without it the server's choice
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote, urlsplit

from backends.errors import BackendError

Protocol = Literal["grpc", "http"]
# Scheme → protocol, and whether it is encrypted.
SCHEMES: dict[str, tuple[Protocol, bool]] = {
    "v2": ("grpc", False),
    "v2+grpc": ("grpc", False),
    "v2+grpcs": ("grpc", True),
    "v2+http": ("http", False),
    "v2+https": ("http", True),
}
_PATH = re.compile(r"/([^/]+)(?:/versions/([^/]+))?/?")


@dataclass(frozen=True, kw_only=True)
class Address:
    """A model on a server."""

    protocol: Protocol
    is_encrypted: bool
    host: str
    port: int
    model: str
    version: str = ""  # "": the server chooses

    @property
    def server(self) -> str:
        """HOST:PORT."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse(spec: str) -> Address:
    """The address in a --model. Raises BackendError for anything else."""
    try:
        parts = urlsplit(spec)
        host, port = parts.hostname, parts.port
    except ValueError:  # a port that is no number, or brackets without an address
        raise _wrong(spec) from None
    path = _PATH.fullmatch(parts.path)
    is_plain = not (parts.username or parts.password or parts.query or parts.fragment) and spec.isprintable()
    if parts.scheme not in SCHEMES or not (host and port and path and is_plain):
        raise _wrong(spec)
    protocol, is_encrypted = SCHEMES[parts.scheme]
    model, version = unquote(path[1]), unquote(path[2] or "")
    return Address(protocol=protocol, is_encrypted=is_encrypted, host=host, port=port, model=model, version=version)


def _wrong(spec: str) -> BackendError:
    return BackendError(
        f"expected a model on a server as the v2 backend's model, found {spec!a}. Type v2://HOST:PORT/NAME (gRPC) or "
        f"v2+http://HOST:PORT/NAME; schemes: {', '.join(SCHEMES)}."
    )
