"""The protocol over HTTP/1.1, with JSON and binary tensors; and metrics for Prometheus at /metrics."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from contextlib import suppress

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler, Middleware

from backends.v2 import http_forms
from backends.v2.http_forms import JSON_LENGTH
from backends.v2.messages import InferRequest
from backends.v2.tensors import FormError
from foundation.typed_json import encode
from sut.nodes.credentials import Credentials
from sut.serving.v2.errors import STATUSES, RequestError
from sut.serving.v2.metrics import CONTENT_TYPE
from sut.serving.v2.service import GRACE_S, MOST_BYTES, InferenceService
from sut.serving.v2.tokens import check_token

_LOG = logging.getLogger(__name__)
HEADER_S, _BODY_S = 30.0, 30.0  # for a connection's first header, and for a body, to arrive
_MODELS = ("/v2/models/{name}", "/v2/models/{name}/versions/{version}")


class HttpFace:
    """The HTTP server of a service; made, started and stopped on the event loop."""

    def __init__(
        self, service: InferenceService, own: Credentials, bound: socket.socket, header_s: float = HEADER_S
    ) -> None:
        self._service, self._own, self._bound, self._header_s = service, own, bound, header_s
        self._known: set[web.RequestHandler] = set()  # connections that have had a request
        application = web.Application(client_max_size=MOST_BYTES, middlewares=[self._middleware()])
        application.router.add_get("/v2", self._server)
        application.router.add_get("/v2/health/live", self._live)
        application.router.add_get("/v2/health/ready", self._ready)
        application.router.add_get("/metrics", self._metrics)
        for path in _MODELS:
            application.router.add_get(path, self._model)
            application.router.add_get(f"{path}/ready", self._model_ready)
            application.router.add_post(f"{path}/infer", self._infer)
        _LOG.addFilter(_is_ours)
        self._runner = web.AppRunner(
            application, access_log=None, logger=_LOG, handle_signals=False, shutdown_timeout=GRACE_S
        )

    async def start(self) -> None:
        await self._runner.setup()
        await web.SockSite(self._runner, self._bound, ssl_context=self._own.tls(is_node=True)).start()
        self._watch = asyncio.create_task(self._end_silent())

    async def stop(self) -> None:
        self._watch.cancel()
        with suppress(asyncio.CancelledError):
            await self._watch
        await self._runner.cleanup()

    async def _end_silent(self) -> None:
        """End connections whose first header does not arrive in time; aiohttp would keep them."""
        since_s: dict[web.RequestHandler, float] = {}
        while server := self._runner.server:
            now_s = asyncio.get_running_loop().time()
            self._known.intersection_update(server.connections)
            since_s = {one: since_s.get(one, now_s) for one in server.connections if one not in self._known}
            for one in [one for one, start_s in since_s.items() if now_s - start_s > self._header_s]:
                one.force_close()
            await asyncio.sleep(self._header_s / 8)

    def _middleware(self) -> Middleware:
        @web.middleware
        async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
            self._known.add(request.protocol)
            try:  # what probes ask goes without a token
                if request.match_info.handler not in (self._live, self._ready, self._model_ready):
                    check_token(self._own, request.headers.get("Authorization"))
                return await handler(request)
            except RequestError as error:
                return _error(STATUSES[error.kind][0], str(error))
            except web.HTTPException as error:
                return _error(error.status, error.reason)

        return answer

    async def _live(self, _: web.Request) -> web.Response:
        return web.json_response({"live": True})

    async def _ready(self, _: web.Request) -> web.Response:
        return _readiness(self._service.is_ready)

    async def _server(self, _: web.Request) -> web.Response:
        return web.json_response(encode(self._service.server))

    async def _model(self, request: web.Request) -> web.Response:
        self._check(request)
        return web.json_response(encode(self._service.model))

    async def _model_ready(self, request: web.Request) -> web.Response:
        self._check(request)
        return _readiness(self._service.is_ready)

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=self._service.metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    async def _infer(self, request: web.Request) -> web.Response:
        with self._service.under_way("http"):
            self._check(request)
            asked = await _read(request)
            response = await self._service.infer(asked)
            named = asked.binary
            binary = {one.name for one in response.outputs if one.name in named or asked.all_binary}
            body = http_forms.write_response(response, binary)
        return web.Response(body=body.content, headers=body.headers)

    def _check(self, request: web.Request) -> None:
        self._service.check_model(request.match_info["name"], request.match_info.get("version", ""))


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether an error is one of this program, and not of a client that sends other bytes, or goes."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError | ConnectionError))


async def _read(request: web.Request) -> InferRequest:
    """Raises RequestError."""
    header = request.headers.get(JSON_LENGTH)
    if header is not None and not (header.isascii() and header.isdigit() and len(header) < 16):
        raise RequestError("invalid", f"expected a number of bytes as {JSON_LENGTH}, found {header[:20]!a}")
    if (request.content_length or 0) > MOST_BYTES:  # before any of it is taken
        raise RequestError("large", f"expected a body of up to {MOST_BYTES} bytes, found {request.content_length}")
    try:
        async with asyncio.timeout(_BODY_S):  # Python 3.11's wait_for may swallow that the task is cancelled
            content = await request.read()
        return http_forms.read_request(content, None if header is None else int(header))
    except TimeoutError:
        raise RequestError("late", f"expected the whole body within {_BODY_S:g} s") from None
    except FormError as error:
        raise RequestError("invalid", str(error)) from error


def _readiness(ready: bool) -> web.Response:
    return web.json_response({"ready": ready}, status=200 if ready else 503)


def _error(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=json.dumps({"error": text}), content_type="application/json")
