"""The protocol's gRPC messages, made from a table when this module is imported.

The table has the field numbers of `inference.GRPCInferenceService`. It is used in place of generated code, which works
only with the releases of protobuf that follow the generator's. The messages are in a pool of their own, since another
client in the same process may register the same names.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "inference"
SERVICE = f"{PACKAGE}.GRPCInferenceService"

# Message → its fields: number, type, name. "*": repeated; "map": from text; "one": at most one of these.
_MESSAGES = {
    "ServerLiveRequest": "",
    "ServerLiveResponse": "1 bool live",
    "ServerReadyRequest": "",
    "ServerReadyResponse": "1 bool ready",
    "ModelReadyRequest": "1 string name, 2 string version",
    "ModelReadyResponse": "1 bool ready",
    "ServerMetadataRequest": "",
    "ServerMetadataResponse": "1 string name, 2 string version, 3 string* extensions",
    "ModelMetadataRequest": "1 string name, 2 string version",
    "ModelMetadataResponse": (
        "1 string name, 2 string* versions, 3 string platform, "
        "4 ModelMetadataResponse.TensorMetadata* inputs, 5 ModelMetadataResponse.TensorMetadata* outputs"
    ),
    "ModelMetadataResponse.TensorMetadata": "1 string name, 2 string datatype, 3 int64* shape",
    "InferParameter": (
        "1 bool-one bool_param, 2 int64-one int64_param, 3 string-one string_param, "
        "4 double-one double_param, 5 uint64-one uint64_param"
    ),
    "InferTensorContents": (
        "1 bool* bool_contents, 2 int32* int_contents, 3 int64* int64_contents, 4 uint32* uint_contents, "
        "5 uint64* uint64_contents, 6 float* fp32_contents, 7 double* fp64_contents, 8 bytes* bytes_contents"
    ),
    "ModelInferRequest": (
        "1 string model_name, 2 string model_version, 3 string id, 4 InferParameter-map parameters, "
        "5 ModelInferRequest.InferInputTensor* inputs, 6 ModelInferRequest.InferRequestedOutputTensor* outputs, "
        "7 bytes* raw_input_contents"
    ),
    "ModelInferRequest.InferInputTensor": (
        "1 string name, 2 string datatype, 3 int64* shape, 4 InferParameter-map parameters, "
        "5 InferTensorContents contents"
    ),
    "ModelInferRequest.InferRequestedOutputTensor": "1 string name, 2 InferParameter-map parameters",
    "ModelInferResponse": (
        "1 string model_name, 2 string model_version, 3 string id, 4 InferParameter-map parameters, "
        "5 ModelInferResponse.InferOutputTensor* outputs, 6 bytes* raw_output_contents"
    ),
    "ModelInferResponse.InferOutputTensor": (
        "1 string name, 2 string datatype, 3 int64* shape, 4 InferParameter-map parameters, "
        "5 InferTensorContents contents"
    ),
    # Triton's own: the largest batch of a model; its other fields are skipped.
    "ModelConfigRequest": "1 string name, 2 string version",
    "ModelConfigResponse": "1 ModelConfig config",
    "ModelConfig": "4 int32 max_batch_size",
}
# Call → request and response.
CALLS = {
    name: (f"{name}Request", f"{name}Response")
    for name in (
        "ServerLive",
        "ServerReady",
        "ModelReady",
        "ServerMetadata",
        "ModelMetadata",
        "ModelInfer",
        "ModelConfig",
    )
}

_Field = descriptor_pb2.FieldDescriptorProto


def _file() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="inference.proto", package=PACKAGE, syntax="proto3")
    made: dict[str, Any] = {}
    for name, fields in _MESSAGES.items():
        outer, _, inner = name.rpartition(".")
        made[name] = (made[outer].nested_type if outer else file.message_type).add(name=inner)
        for field in filter(None, fields.split(", ")):
            _add(name, made[name], *field.split())
    return file


def _add(message: str, into: Any, number: str, kind: str, name: str) -> None:
    kind, _, form = kind.partition("-")
    plain = kind.rstrip("*")
    repeated = kind.endswith("*") or form == "map"
    field = into.field.add(name=name, number=int(number), label=2 * repeated + 1)  # 1: optional, 3: repeated
    if form == "map":
        _type(field, f"{message}.{_add_entry(into, name, plain)}")
    else:
        _type(field, plain)
    if form == "one":
        if not into.oneof_decl:
            into.oneof_decl.add(name="parameter_choice")
        field.oneof_index = 0


def _add_entry(into: Any, name: str, kind: str) -> str:
    """A map is a repeated message of key and value."""
    entry = into.nested_type.add(name=f"{name.title()}Entry")
    entry.options.map_entry = True
    for number, part, of in ((1, "key", "string"), (2, "value", kind)):
        _type(entry.field.add(name=part, number=number, label=1), of)
    return str(entry.name)


def _type(field: Any, kind: str) -> None:
    if kind[0].isupper():
        field.type, field.type_name = _Field.TYPE_MESSAGE, f".{PACKAGE}.{kind}"
    else:
        field.type = getattr(_Field, f"TYPE_{kind.upper()}")


_pool = descriptor_pool.DescriptorPool()
_pool.Add(_file())


def message(name: str) -> Any:
    """The class of a message, such as ModelInferRequest."""
    return message_factory.GetMessageClass(_pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))


REQUESTS = {call: message(names[0]) for call, names in CALLS.items()}
RESPONSES = {call: message(names[1]) for call, names in CALLS.items()}
