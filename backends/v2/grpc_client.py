"""The protocol over gRPC: calls are under way on gRPC's own threads, so that several cost this one nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # it would print what its errors say, too
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")  # instances are spawned

import grpc

from backends.access import Access
from backends.base import Pending
from backends.errors import BackendError
from backends.v2 import client, grpc_forms
from backends.v2.address import Address
from backends.v2.client import LOOK_UP_S, MOST_BYTES, Found
from backends.v2.messages import InferRequest, InferResponse
from backends.v2.protobuf import REQUESTS, RESPONSES, SERVICE
from backends.v2.tensors import FormError
from foundation.bounded_readers import UnreadableError, read_bytes

_OPTIONS = (
    ("grpc.max_receive_message_length", MOST_BYTES),
    ("grpc.max_send_message_length", MOST_BYTES),
    ("grpc.enable_http_proxy", 0),
    ("grpc.enable_retries", 0),
)
_POLL_S = 0.0003
_AWAY = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


class GrpcClient:
    """See `client.Client`."""

    def __init__(self, address: Address, access: Access) -> None:
        self._address = address
        self._metadata = tuple((name.lower(), value) for name, value in client.bearer(access).items())
        self._channel = _channel(address, access)
        self._calls = {
            name: self._channel.unary_unary(
                f"/{SERVICE}/{name}", REQUESTS[name].SerializeToString, RESPONSES[name].FromString
            )
            for name in REQUESTS
        }

    def look_up(self) -> Found:
        names = {"name": self._address.model, "version": self._address.version}
        server = grpc_forms.read_server(self._call("ServerMetadata"))
        model = grpc_forms.read_model(self._call("ModelMetadata", **names))
        client.check_ready(self._address, self._call("ServerReady").ready, self._call("ModelReady", **names).ready)
        return Found(server, model, self._most_batch(names))

    def _most_batch(self, names: dict[str, str]) -> int | None:
        """Triton says it in an extension of the protocol; 0 there: the model's shapes say it."""
        try:
            config = self._calls["ModelConfig"](
                REQUESTS["ModelConfig"](**names), timeout=LOOK_UP_S, metadata=self._metadata
            ).config
        except grpc.RpcError as error:
            if error.code() in _AWAY:
                raise self._error(error, LOOK_UP_S) from error
            return None  # it does not have the extension
        return config.max_batch_size or None

    def _call(self, name: str, /, **fields: str) -> Any:
        with self._errors(LOOK_UP_S):
            return self._calls[name](REQUESTS[name](**fields), timeout=LOOK_UP_S, metadata=self._metadata)

    def begin(self, request: InferRequest, deadline_s: float) -> Pending[InferResponse]:
        message = grpc_forms.write_request(self._address.model, self._address.version, request)
        call = self._calls["ModelInfer"].future(message, timeout=deadline_s, metadata=self._metadata)

        def is_ready() -> bool:
            """Waits for a moment: whoever asks again and again must not take the core from a server on this machine."""
            try:
                call.result(_POLL_S)
            except grpc.FutureTimeoutError:
                return False
            except grpc.RpcError:
                return True
            return True

        def answers() -> InferResponse:
            with self._errors(deadline_s):
                return grpc_forms.read_response(call.result())

        return Pending(is_ready, answers)

    @contextmanager
    def _errors(self, deadline_s: float) -> Iterator[None]:
        try:
            yield
        except grpc.RpcError as error:
            raise self._error(error, deadline_s) from error
        except (FormError, grpc.FutureCancelledError) as error:
            raise client.refused(self._address, str(error)) from error

    def _error(self, error: grpc.RpcError, deadline_s: float) -> BackendError:
        code, details = error.code(), error.details() or ""
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return client.late(self._address, deadline_s)
        if code is grpc.StatusCode.UNAVAILABLE:
            return client.unreachable(self._address, details)
        hint = ". Type --token-file" if code is grpc.StatusCode.UNAUTHENTICATED else ""
        return client.refused(self._address, f"{code.name}: {details}{hint}")

    def close(self) -> None:
        self._channel.close()


def _channel(address: Address, access: Access) -> Any:
    if not address.is_encrypted:
        return grpc.insecure_channel(address.server, options=_OPTIONS)
    ca, cert, key = (_pem(path) for path in (access.ca, access.cert, access.key or access.cert))
    return grpc.secure_channel(address.server, grpc.ssl_channel_credentials(ca, key, cert), options=_OPTIONS)


def _pem(path: Any) -> bytes | None:
    try:
        return None if path is None else read_bytes(path, 1 << 20)
    except UnreadableError as error:
        raise BackendError(f"expected a PEM file in {path}, found {error}.") from error
