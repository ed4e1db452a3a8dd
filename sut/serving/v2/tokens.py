"""The node's token as a bearer token, as both transports carry it."""

from __future__ import annotations

import hmac

from sut.nodes.credentials import Credentials
from sut.serving.v2.errors import RequestError


def check_token(own: Credentials, header: str | bytes | None) -> None:
    """Check an `authorization` header. Raises RequestError."""
    if own.token is None:
        return
    found = header.encode(errors="replace") if isinstance(header, str) else header or b""
    if not hmac.compare_digest(found, b"Bearer " + own.token):
        raise RequestError("token", "expected the node's token as 'authorization: Bearer TOKEN'")
