"""Why a request of the protocol is not answered, in the words of both transports."""

from __future__ import annotations

from typing import Literal

Kind = Literal["invalid", "token", "unknown", "late", "large", "busy", "ending", "failed"]
# Kind → HTTP's status, and the name of gRPC's.
STATUSES: dict[Kind, tuple[int, str]] = {
    "invalid": (400, "INVALID_ARGUMENT"),
    "token": (401, "UNAUTHENTICATED"),
    "unknown": (404, "NOT_FOUND"),
    "late": (408, "DEADLINE_EXCEEDED"),
    "large": (413, "RESOURCE_EXHAUSTED"),
    "busy": (429, "RESOURCE_EXHAUSTED"),
    "ending": (503, "UNAVAILABLE"),
    "failed": (500, "INTERNAL"),
}


class RequestError(Exception):
    """A request that is not answered; the text is for its client."""

    def __init__(self, kind: Kind, text: str) -> None:
        super().__init__(text)
        self.kind = kind
