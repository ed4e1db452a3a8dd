"""Both transports of the protocol on one event loop, in a thread of its own."""

from __future__ import annotations

import asyncio
import concurrent.futures
import socket
import threading
import time
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any

from backends.v2.http_forms import BINARY
from backends.v2.messages import ServerMetadata
from foundation import installation
from sut.executors.base import Ready
from sut.nodes.addresses import Address
from sut.nodes.credentials import Credentials
from sut.running.prepare import Prepared
from sut.serving.core import ServingCore
from sut.serving.v2.grpc_face import GrpcFace
from sut.serving.v2.http_face import HEADER_S, HttpFace
from sut.serving.v2.service import InferenceService

_START_S, _STOP_S, _POLL_S = 30.0, 5.0, 0.02
_PATIENCE_S = 120.0  # for a request to be answered


class V2Faces:
    """Serves a service at bound sockets.

    Args:
        http, grpc: of `frame_server.bind`, closed with the faces; None: not served.
        header_s: for the first header of an HTTP connection to arrive.
    """

    def __init__(
        self,
        service: InferenceService,
        own: Credentials,
        http: socket.socket | None,
        grpc: socket.socket | None,
        header_s: float = HEADER_S,
    ) -> None:
        self.failure: Exception | None = None
        self._service, self._own, self._http, self._grpc = service, own, http, grpc
        self._header_s = header_s
        self._faces: list[HttpFace | GrpcFace] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="v2", daemon=True)
        self._is_closed = False

    def start(self) -> None:
        """Listen. Raises UsageError for certificates that cannot be used."""
        self._thread.start()
        self._run(self._start(), _START_S)

    async def _start(self) -> None:
        if self._http is not None:
            self._faces.append(HttpFace(self._service, self._own, self._http, self._header_s))
        if self._grpc is not None:
            address = Address(*self._grpc.getsockname()[:2])
            self._grpc.close()  # gRPC binds the port itself; until now nothing else could
            self._faces.append(GrpcFace(self._service, self._own, address))
        for face in self._faces:
            await face.start()

    def drain(self, patience_s: float) -> bool:
        """Refuse requests, answer those that are under way, and close; False if they were not answered in time."""
        self._service.is_ready = False
        until_s = time.monotonic() + patience_s
        while not self._service.is_idle and time.monotonic() < until_s:
            time.sleep(_POLL_S)
        is_idle = self._service.is_idle
        self.close("")
        return is_idle

    def close(self, reason: str) -> None:
        """Say why to those who wait for an answer, and end all connections."""
        self._service.is_ready = False
        if self._is_closed:
            return
        self._is_closed = True
        with suppress(concurrent.futures.TimeoutError):
            self._run(self._stop(reason), _STOP_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_STOP_S)

    async def _stop(self, reason: str) -> None:
        self._service.end(reason)
        for face in self._faces:
            await face.stop()

    def _run(self, coroutine: Coroutine[Any, Any, None], patience_s: float) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(patience_s)


def of(
    prepared: Prepared,
    core: ServingCore,
    ready: Sequence[Ready],
    own: Credentials,
    http: socket.socket | None,
    grpc: socket.socket | None,
) -> V2Faces:
    """The faces of a node."""
    config = prepared.config
    service = InferenceService(
        core,
        ServerMetadata("mlperf-bert-sut", installation.version(), (BINARY,)),
        f"{config.backend}_{prepared.precision}",
        prepared.task.head,
        packed=all(one.packed for one in ready),
        patience_s=config.stall_timeout_s or _PATIENCE_S,
    )
    return V2Faces(service, own, http, grpc)
