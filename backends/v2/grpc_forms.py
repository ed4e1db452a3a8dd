"""The protocol's gRPC messages from and to data. Values travel as raw bytes; typed contents of others are read, too."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from backends.v2.messages import InferRequest, InferResponse, ModelMetadata, ServerMetadata, TensorMetadata
from backends.v2.protobuf import REQUESTS, RESPONSES
from backends.v2.tensors import MOST_NAME, FormError, Tensor, from_raw, from_values

# Datatype → the field of InferTensorContents that has its values; FP16 has none.
_CONTENTS = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
}


def write_request(model: str, version: str, request: InferRequest) -> Any:
    """A ModelInferRequest."""
    found = REQUESTS["ModelInfer"](model_name=model, model_version=version, id=request.id)
    _write(found.inputs, found.raw_input_contents, request.inputs)
    for name in request.outputs:
        found.outputs.add(name=name)
    return found


def read_request(message: Any) -> InferRequest:
    """The data of a ModelInferRequest. Raises FormError."""
    inputs = _read(message.inputs, message.raw_input_contents)
    return InferRequest(inputs, tuple(_name(one.name) for one in message.outputs), _name(message.id))


def write_response(response: InferResponse) -> Any:
    """A ModelInferResponse."""
    found = RESPONSES["ModelInfer"](model_name=response.model, model_version=response.version, id=response.id)
    _write(found.outputs, found.raw_output_contents, response.outputs)
    return found


def read_response(message: Any) -> InferResponse:
    """The data of a ModelInferResponse. Raises FormError."""
    outputs = _read(message.outputs, message.raw_output_contents)
    return InferResponse(message.model_name, message.model_version, outputs, message.id)


def read_server(message: Any) -> ServerMetadata:
    """The data of a ServerMetadataResponse."""
    return ServerMetadata(message.name, message.version, tuple(message.extensions))


def write_server(server: ServerMetadata) -> Any:
    """A ServerMetadataResponse."""
    return RESPONSES["ServerMetadata"](name=server.name, version=server.version, extensions=server.extensions)


def read_model(message: Any) -> ModelMetadata:
    """The data of a ModelMetadataResponse."""
    inputs, outputs = (
        tuple(TensorMetadata(one.name, one.datatype, tuple(one.shape)) for one in part)
        for part in (message.inputs, message.outputs)
    )
    return ModelMetadata(message.name, inputs, outputs, tuple(message.versions), message.platform)


def write_model(model: ModelMetadata) -> Any:
    """A ModelMetadataResponse."""
    found = RESPONSES["ModelMetadata"](name=model.name, versions=model.versions or (), platform=model.platform)
    for part, tensors in ((found.inputs, model.inputs), (found.outputs, model.outputs)):
        for one in tensors:
            part.add(name=one.name, datatype=one.datatype, shape=one.shape)
    return found


def _write(into: Any, raw: Any, tensors: Iterable[Tensor]) -> None:
    for one in tensors:
        into.add(name=one.name, datatype=one.datatype, shape=one.shape)
        raw.append(one.raw)


def _read(parts: Any, raw: Any) -> tuple[Tensor, ...]:
    """Tensors, all with raw values, in the same order, or all with typed ones."""
    if len(raw) == 0:
        return tuple(_typed(one) for one in parts)
    if len(raw) != len(parts):
        raise FormError(f"expected raw contents of {len(parts)} tensors, found {len(raw)}")
    return tuple(from_raw(_name(one.name), one.datatype, one.shape, data) for one, data in zip(parts, raw, strict=True))


def _typed(one: Any) -> Tensor:
    name = _name(one.name)
    field = _CONTENTS.get(one.datatype)
    if field is None:
        raise FormError(f"expected raw contents of {name!r}, whose datatype is {one.datatype!a}, found others")
    return from_values(name, one.datatype, one.shape, getattr(one.contents, field))


def _name(text: str) -> str:
    if len(text) > MOST_NAME:
        raise FormError(f"expected a name or id of up to {MOST_NAME} characters, found {len(text)}")
    return text
