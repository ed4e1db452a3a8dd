"""What a backend proves itself with to a server that runs the model."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Access:
    """A bearer token, and this side's certificate and the CA of the server's (PEM)."""

    token: str | None = field(default=None, repr=False)
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None  # None: in the file of the certificate


NO_ACCESS = Access()
