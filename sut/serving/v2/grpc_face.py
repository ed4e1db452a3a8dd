"""The protocol over gRPC: the calls of `inference.GRPCInferenceService`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import grpc
import grpc.aio

from backends.v2 import grpc_forms
from backends.v2.protobuf import REQUESTS, RESPONSES, SERVICE
from backends.v2.tensors import FormError
from foundation.bounded_readers import UnreadableError, read_bytes
from sut.errors import UsageError
from sut.nodes.addresses import Address
from sut.nodes.credentials import Credentials
from sut.serving.v2.errors import STATUSES, RequestError
from sut.serving.v2.service import GRACE_S, MOST_BYTES, InferenceService
from sut.serving.v2.tokens import check_token

_OPTIONS = (
    ("grpc.max_receive_message_length", MOST_BYTES),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_metadata_size", 16 << 10),
    ("grpc.so_reuseport", 0),
)
_MOST_CALLS = 2048  # of which those for an answer are fewer
_OPEN = ("ServerLive", "ServerReady", "ModelReady")  # without a token: they say nothing that a probe may not know
Call = Callable[[Any], Awaitable[Any]]


class GrpcFace:
    """The gRPC server of a service; made, started and stopped on the event loop."""

    def __init__(self, service: InferenceService, own: Credentials, address: Address) -> None:
        self._service, self._own = service, own
        self._server = grpc.aio.server(options=_OPTIONS, maximum_concurrent_rpcs=_MOST_CALLS)
        calls: Mapping[str, Call] = {
            "ServerLive": self._live,
            "ServerReady": self._ready,
            "ModelReady": self._model_ready,
            "ServerMetadata": self._server_metadata,
            "ModelMetadata": self._model_metadata,
            "ModelInfer": self._infer,
        }
        handlers = {name: self._handler(name, call) for name, call in calls.items()}
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        if own.has_tls:
            self._server.add_secure_port(str(address), _tls(own))
        else:
            self._server.add_insecure_port(str(address))

    async def start(self) -> None:
        await self._server.start()

    async def stop(self) -> None:
        await self._server.stop(GRACE_S)

    def _handler(self, name: str, call: Call) -> Any:
        async def behaviour(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            try:
                if name not in _OPEN:
                    self._check_token(context)
                return await call(request)
            except RequestError as error:
                status = getattr(grpc.StatusCode, STATUSES[error.kind][1])
                return await context.abort(status, str(error))

        return grpc.unary_unary_rpc_method_handler(
            behaviour,
            request_deserializer=REQUESTS[name].FromString,
            response_serializer=RESPONSES[name].SerializeToString,
        )

    def _check_token(self, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        metadata = dict(context.invocation_metadata() or ())
        check_token(self._own, metadata.get("authorization"))

    async def _live(self, _: Any) -> Any:
        return RESPONSES["ServerLive"](live=True)

    async def _ready(self, _: Any) -> Any:
        return RESPONSES["ServerReady"](ready=self._service.is_ready)

    async def _model_ready(self, request: Any) -> Any:
        self._service.check_model(request.name, request.version)
        return RESPONSES["ModelReady"](ready=self._service.is_ready)

    async def _server_metadata(self, _: Any) -> Any:
        return grpc_forms.write_server(self._service.server)

    async def _model_metadata(self, request: Any) -> Any:
        self._service.check_model(request.name, request.version)
        return grpc_forms.write_model(self._service.model)

    async def _infer(self, request: Any) -> Any:
        with self._service.under_way("grpc"):
            self._service.check_model(request.model_name, request.model_version)
            try:
                read = grpc_forms.read_request(request)
            except FormError as error:
                raise RequestError("invalid", str(error)) from error
            return grpc_forms.write_response(await self._service.infer(read))


def _tls(own: Credentials) -> grpc.ServerCredentials:
    try:
        cert, key, ca = (read_bytes(path, 1 << 20) for path in (own.cert, own.key or own.cert, own.ca) if path)
    except UnreadableError as error:
        raise UsageError(f"expected PEM files in --tls-cert, --tls-key and --tls-ca, found {error}.") from error
    return grpc.ssl_server_credentials([(key, cert)], ca, require_client_auth=True)
