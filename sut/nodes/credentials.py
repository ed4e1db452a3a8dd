"""Who may talk to a node: a token that both sides have, or certificates of both sides (mutual TLS), or both.

The token itself is never sent: each side sends an HMAC of both nonces under it. TLS runs in memory (`ssl.MemoryBIO`),
so that sockets stay non-blocking and two threads never use one SSL object at the same time.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import ssl
from dataclasses import dataclass
from pathlib import Path

from foundation.bounded_readers import UnreadableError, read_bytes
from sut.errors import UsageError

_MOST_TOKEN_BYTES, _LEAST_TOKEN_BYTES = 4096, 16
_MAKE = "Type: python -c 'import secrets; print(secrets.token_hex(32))' > FILE, and copy it to all machines."


@dataclass(frozen=True)
class Credentials:
    """What this side proves itself with."""

    token: bytes | None = None
    cert: Path | None = None
    key: Path | None = None
    ca: Path | None = None

    @property
    def has_tls(self) -> bool:
        return self.ca is not None

    @property
    def are_none(self) -> bool:
        return self.token is None and not self.has_tls

    def proof(self, side: str, client_nonce: str, node_nonce: str) -> str:
        """The proof of the "client" or of the "node"; "" without a token."""
        if self.token is None:
            return ""
        said = f"mlperf-bert-sut {side}\0{client_nonce}\0{node_nonce}".encode()
        return hmac.new(self.token, said, hashlib.sha256).hexdigest()

    def is_proved(self, proof: str, side: str, client_nonce: str, node_nonce: str) -> bool:
        """Whether a peer's proof is right; without a token there is nothing to prove."""
        expected = self.proof(side, client_nonce, node_nonce)
        return self.token is None or hmac.compare_digest(expected.encode(), proof.encode())

    def tls(self, *, is_node: bool) -> ssl.SSLContext | None:
        """The context of one side, which demands the other side's certificate; None without TLS.

        Raises:
            UsageError: a file cannot be used.
        """
        if self.ca is None or self.cert is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if is_node else ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_cert_chain(self.cert, self.key, password=lambda: "")
            context.load_verify_locations(self.ca)
        except (OSError, ssl.SSLError) as error:
            raise UsageError(
                f"expected a certificate, its key without a password, and a CA in --tls-cert {self.cert}, --tls-key "
                f"{self.key or self.cert} and --tls-ca {self.ca}, found: {error.strerror or error}."
            ) from error
        return context


def nonce() -> str:
    """A number that is used once."""
    return secrets.token_hex(32)


def read(token_file: Path | None, cert: Path | None, key: Path | None, ca: Path | None) -> Credentials:
    """The credentials that the settings name.

    Raises:
        UsageError: a file cannot be used, or the token is short.
    """
    if (cert is None) != (ca is None) or (key is not None and cert is None):
        raise UsageError("--tls-cert and --tls-ca go together, with --tls-key if the key is in a file of its own.")
    found = Credentials(None if token_file is None else _token(token_file), cert, key, ca)
    found.tls(is_node=False)
    return found


def _token(path: Path) -> bytes:
    try:
        token = read_bytes(path, _MOST_TOKEN_BYTES, pipes=True).strip()
    except UnreadableError as error:
        raise UsageError(f"expected a token in --token-file {path}, found {error}. {_MAKE}") from error
    if len(token) < _LEAST_TOKEN_BYTES:
        raise UsageError(
            f"expected a token of at least {_LEAST_TOKEN_BYTES} characters in --token-file {path}, found "
            f"{len(token)}. {_MAKE}"
        )
    return token
