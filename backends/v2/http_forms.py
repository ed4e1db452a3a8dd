"""The protocol's HTTP bodies from and to data: JSON, or JSON and raw tensors (extension binary_tensor_data).

A header `Inference-Header-Content-Length` says where the JSON of such a body ends; each tensor after it has its size in
`parameters.binary_data_size`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from backends.v2.messages import InferRequest, InferResponse
from backends.v2.tensors import MOST_NAME, FormError, Tensor, from_raw, from_values
from foundation.bounded_readers import UnreadableError, parse_json
from foundation.typed_json import decode

BINARY = "binary_tensor_data"  # the extension's name
JSON_LENGTH = "Inference-Header-Content-Length"
MOST_TENSORS = 64  # of a message
T = TypeVar("T")


@dataclass(frozen=True)
class _Parameters:
    binary_data_size: int | None = None
    binary_data: bool = False
    binary_data_output: bool = False


@dataclass(frozen=True)
class _Tensor:
    name: str
    datatype: str
    shape: tuple[int, ...]
    parameters: _Parameters = field(default_factory=_Parameters)


@dataclass(frozen=True)
class _Output:
    name: str
    parameters: _Parameters = field(default_factory=_Parameters)


@dataclass(frozen=True)
class _Request:
    inputs: tuple[_Tensor, ...]
    outputs: tuple[_Output, ...] = ()
    id: str = ""
    parameters: _Parameters = field(default_factory=_Parameters)


@dataclass(frozen=True)
class _Response:
    outputs: tuple[_Tensor, ...]
    model_name: str = ""
    model_version: str | None = ""
    id: str | None = ""


@dataclass(frozen=True)
class Body:
    """A body, and how much of it is JSON; None: all."""

    content: bytes
    json_length: int | None = None

    @property
    def headers(self) -> dict[str, str]:
        if self.json_length is None:
            return {"Content-Type": "application/json"}
        return {"Content-Type": "application/octet-stream", JSON_LENGTH: str(self.json_length)}


def write_request(request: InferRequest, *, binary: bool) -> Body:
    """The body of an infer call; with `binary` inputs and outputs are raw."""
    wants = {"parameters": {"binary_data": True}} if binary else {}
    head: dict[str, object] = {"outputs": [{"name": name, **wants} for name in request.outputs]}
    if request.id:
        head["id"] = request.id
    if binary and not request.outputs:
        head["parameters"] = {"binary_data_output": True}
    names = {one.name for one in request.inputs} if binary else ()
    return _body(head, "inputs", request.inputs, names)


def read_request(content: bytes, json_length: int | None = None) -> InferRequest:
    """The data of an infer call's body. Raises FormError."""
    head, found = _head(_Request, content, json_length)
    names = tuple(one.name for one in head.outputs)
    binary = frozenset(one.name for one in head.outputs if one.parameters.binary_data)
    if any(len(text) > MOST_NAME for text in (head.id, *names)):
        raise FormError(f"expected names and an id of up to {MOST_NAME} characters")
    inputs = _tensors(head.inputs, found, "inputs", content, json_length)
    return InferRequest(inputs, names, head.id, binary, head.parameters.binary_data_output)


def write_response(response: InferResponse, binary: Collection[str] = ()) -> Body:
    """The body of the answer; outputs in `binary` are raw. Raises ValueError for a number that JSON does not have."""
    head: dict[str, object] = {"model_name": response.model, "model_version": response.version}
    if response.id:
        head["id"] = response.id
    return _body(head, "outputs", response.outputs, binary)


def read_response(content: bytes, json_length: int | None = None) -> InferResponse:
    """The data of an answer's body. Raises FormError."""
    head, found = _head(_Response, content, json_length)
    outputs = _tensors(head.outputs, found, "outputs", content, json_length)
    return InferResponse(head.model_name, head.model_version or "", outputs, head.id or "")


def read_metadata(kind: type[T], content: bytes) -> T:
    """ServerMetadata or ModelMetadata. Raises FormError."""
    return _decoded(kind, _parsed(content))


def _body(head: dict[str, object], key: str, tensors: Sequence[Tensor], binary: Collection[str]) -> Body:
    raw = [one.raw if one.name in binary else None for one in tensors]
    head[key] = [_entry(one, data) for one, data in zip(tensors, raw, strict=True)]
    text = json.dumps(head, allow_nan=False).encode()
    parts = [data for data in raw if data is not None]
    return Body(b"".join([text, *parts]), len(text)) if parts else Body(text)


def _entry(one: Tensor, raw: bytes | None) -> dict[str, object]:
    found: dict[str, object] = {"name": one.name, "datatype": one.datatype, "shape": one.shape}
    if raw is None:
        return {**found, "data": one.array.ravel().tolist()}
    return {**found, "parameters": {"binary_data_size": len(raw)}}


def _head(kind: type[T], content: bytes, json_length: int | None) -> tuple[T, Mapping[str, object]]:
    """What a body says in JSON, checked, and as it was parsed."""
    if json_length is not None and not 0 <= json_length <= len(content):
        raise FormError(f"expected a {JSON_LENGTH} of up to {len(content)}, found {json_length}")
    found = _parsed(content if json_length is None else content[:json_length])
    return _decoded(kind, found), found


def _parsed(content: bytes) -> Mapping[str, object]:
    try:
        found = parse_json(content)
    except UnreadableError as error:
        raise FormError(f"expected JSON, found {error}") from error
    if not isinstance(found, dict):
        raise FormError("expected a JSON object, found another value")
    return found


def _decoded(kind: type[T], found: Mapping[str, object]) -> T:
    try:
        return decode(kind, found)
    except UnreadableError as error:
        raise FormError(f"expected a message of the protocol, found {error}") from error


def _tensors(
    heads: Sequence[_Tensor], parsed: Mapping[str, object], key: str, content: bytes, json_length: int | None
) -> tuple[Tensor, ...]:
    """The tensors of a message: numbers from its JSON, or the next bytes after it."""
    if len(heads) > MOST_TENSORS or any(len(one.name) > MOST_NAME for one in heads):
        raise FormError(f"expected up to {MOST_TENSORS} tensors with names of up to {MOST_NAME} characters")
    values = parsed[key]
    assert isinstance(values, list)  # it was decoded
    rest = memoryview(content)[len(content) if json_length is None else json_length :]
    found = []
    for one, value in zip(heads, values, strict=True):
        size = one.parameters.binary_data_size
        if size is None:
            found.append(from_values(one.name, one.datatype, one.shape, value.get("data")))
            continue
        if not 0 <= size <= len(rest):
            raise FormError(f"expected {size} bytes of {one.name!r} after the JSON, found {len(rest)}")
        found.append(from_raw(one.name, one.datatype, one.shape, rest[:size]))
        rest = rest[size:]
    if len(rest):
        raise FormError(f"expected no bytes after the tensors, found {len(rest)}")
    return tuple(found)
