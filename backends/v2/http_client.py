"""The protocol over HTTP/1.1: a few threads with a connection each. Tensors are binary where the server reads them.

Connections stay open. One that the server has closed meanwhile is opened again, once, before anything was answered.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYetError
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import quote

from backends.access import Access
from backends.base import Pending
from backends.errors import BackendError
from backends.v2 import client, http_forms
from backends.v2.address import Address
from backends.v2.client import LOOK_UP_S, MOST_BYTES, Found
from backends.v2.http_forms import BINARY, JSON_LENGTH, Body
from backends.v2.messages import InferRequest, InferResponse, ModelMetadata, ServerMetadata
from backends.v2.tensors import FormError
from foundation.bounded_readers import UnreadableError, parse_json

_THREADS = 8
_POLL_S = 0.0003
_PIECE_BYTES = 1 << 20
_CLOSED = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError)


class _Answer(NamedTuple):
    status: int
    content: bytes
    json_length: str | None

    @property
    def is_good(self) -> bool:
        return self.status == 200

    @property
    def reason(self) -> str:
        """What the body of an error says."""
        try:
            found = parse_json(self.content)
        except UnreadableError:
            found = None
        text = found.get("error", found.get("detail")) if isinstance(found, dict) else None
        return f"HTTP {self.status}: {text if isinstance(text, str) else self.content[:200].decode(errors='replace')}"


class HttpClient:
    """See `client.Client`."""

    def __init__(self, address: Address, access: Access) -> None:
        self._address, self._headers = address, client.bearer(access)
        self._tls = _context(access) if address.is_encrypted else None
        self._threads = ThreadPoolExecutor(_THREADS, "v2")
        self._local = threading.local()
        self._open: dict[int, http.client.HTTPConnection] = {}  # by thread
        self._binary = False
        version = f"/versions/{quote(address.version, safe='')}" if address.version else ""
        self._model = f"/v2/models/{quote(address.model, safe='')}{version}"

    def look_up(self) -> Found:
        server = self._read(ServerMetadata, "/v2")
        model = self._read(ModelMetadata, self._model)
        ready, model_ready = (self._get(path).is_good for path in ("/v2/health/ready", f"{self._model}/ready"))
        client.check_ready(self._address, ready, model_ready)
        self._binary = BINARY in server.extensions
        return Found(server, model, self._most_batch())

    def _most_batch(self) -> int | None:
        """Triton says it in an extension of the protocol; 0 there: the model's shapes say it."""
        answer = self._get(f"{self._model}/config")
        try:
            found = parse_json(answer.content) if answer.is_good else None
        except UnreadableError:
            return None
        most = found.get("max_batch_size") if isinstance(found, dict) else None
        return most if isinstance(most, int) and most > 0 else None

    def _read(self, kind: type[http_forms.T], path: str) -> http_forms.T:
        answer = self._get(path)
        if not answer.is_good:
            raise client.refused(self._address, answer.reason)
        try:
            return http_forms.read_metadata(kind, answer.content)
        except FormError as error:
            raise client.unreachable(self._address, str(error)) from error

    def _get(self, path: str) -> _Answer:
        return self._exchange("GET", path, None, {}, LOOK_UP_S)

    def begin(self, request: InferRequest, deadline_s: float) -> Pending[InferResponse]:
        body = http_forms.write_request(request, binary=self._binary)
        future = self._threads.submit(self._infer, body, deadline_s)
        return Pending(lambda: _is_done(future), future.result)

    def _infer(self, body: Body, deadline_s: float) -> InferResponse:
        answer = self._exchange("POST", f"{self._model}/infer", body.content, body.headers, deadline_s)
        if not answer.is_good:
            raise client.refused(self._address, answer.reason)
        try:
            length = None if answer.json_length is None else int(answer.json_length)
            return http_forms.read_response(answer.content, length)
        except ValueError as error:
            raise client.refused(self._address, str(error)) from error

    def _exchange(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], deadline_s: float
    ) -> _Answer:
        until_s = time.monotonic() + deadline_s
        kept = getattr(self._local, "connection", None)
        try:
            if kept is not None:
                try:
                    return self._once(kept, method, path, body, headers, until_s)
                except _CLOSED:
                    kept.close()
            self._local.connection = self._open[threading.get_ident()] = self._connection()
            return self._once(self._local.connection, method, path, body, headers, until_s)
        except TimeoutError as error:
            self._forget()
            raise client.late(self._address, deadline_s) from error
        except (OSError, http.client.HTTPException) as error:
            self._forget()
            raise client.unreachable(self._address, str(error) or type(error).__name__) from error

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self._address.host, self._address.port
        if self._tls is None:
            return http.client.HTTPConnection(host, port, timeout=LOOK_UP_S)
        return http.client.HTTPSConnection(host, port, timeout=LOOK_UP_S, context=self._tls)

    def _forget(self) -> None:
        """Close a connection on which the rest of an answer may still arrive."""
        if connection := getattr(self._local, "connection", None):
            connection.close()
        self._local.connection = None

    def _once(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        until_s: float,
    ) -> _Answer:
        if connection.sock is None:
            connection.connect()
        connection.sock.settimeout(_left(until_s))
        connection.request(method, path, body, {**self._headers, **headers})
        response = connection.getresponse()
        content = bytearray()
        while piece := response.read1(_PIECE_BYTES):  # what one packet has: a server that drips meets the deadline
            content += piece
            if len(content) > MOST_BYTES:
                raise OSError(f"an answer of more than {MOST_BYTES} bytes")
            if connection.sock is not None:
                connection.sock.settimeout(_left(until_s))
        if response.length:
            raise OSError(f"an answer that ends {response.length} bytes early")
        response.close()
        return _Answer(response.status, bytes(content), response.headers.get(JSON_LENGTH))

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        for connection in list(self._open.values()):
            _end(connection)


def _is_done(future: Future[InferResponse]) -> bool:
    """Waits for a moment: whoever asks again and again must not take the core from a server on this machine."""
    try:
        future.exception(_POLL_S)
    except NotYetError:
        return False
    return True


def _end(connection: http.client.HTTPConnection) -> None:
    """Close a connection; a call under way on another thread fails at once."""
    if connection.sock is not None:
        with suppress(OSError):
            connection.sock.shutdown(socket.SHUT_RDWR)
    connection.close()


def _left(until_s: float) -> float:
    left_s = until_s - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    return left_s


def _context(access: Access) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=access.ca)
        if access.cert is not None:
            context.load_cert_chain(access.cert, access.key, password=lambda: "")
    except (OSError, ssl.SSLError) as error:
        raise BackendError(f"expected certificates in --tls-cert and --tls-ca, found: {error}.") from error
    return context
