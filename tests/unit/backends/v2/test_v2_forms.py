"""The messages of KServe v2 in both forms: fixed bytes and JSON, both ways; and what is no message."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from damage import DAMAGES, Damage
from google.protobuf.message import DecodeError
from hypothesis import given, settings

from backends.v2 import grpc_forms, http_forms, protobuf
from backends.v2.messages import InferRequest, InferResponse, ModelMetadata, ServerMetadata, TensorMetadata
from backends.v2.tensors import DTYPES, FormError, Tensor, from_raw, from_values

IDS = Tensor("input_ids", "INT64", np.array([[101, 7], [101, 0]]))
MASK = Tensor("attention_mask", "INT32", np.array([[1, 1], [1, 0]], np.int32))
REQUEST = InferRequest((IDS, MASK), ("logits",), "17")
RAW_IDS = bytes.fromhex("6500000000000000 0700000000000000 6500000000000000 0000000000000000")
RAW_MASK = bytes.fromhex("01000000 01000000 01000000 00000000")
# Fields of protobuf: 1 model_name "bert", 3 id "17", 5 inputs (1 name, 2 datatype, 3 shape), 6 outputs, 7 raw contents.
GRPC_REQUEST = (
    b"\x0a\x04bert" b"\x1a\x0217"
    b"\x2a\x16" b"\x0a\x09input_ids" b"\x12\x05INT64" b"\x1a\x02\x02\x02"
    b"\x2a\x1b" b"\x0a\x0eattention_mask" b"\x12\x05INT32" b"\x1a\x02\x02\x02"
    b"\x32\x08" b"\x0a\x06logits"
    b"\x3a\x20" + RAW_IDS + b"\x3a\x10" + RAW_MASK
)  # fmt: skip
RESPONSE = InferResponse("bert", "1", (Tensor("logits", "FP32", np.array([[0.5, -2.0]], np.float32)),), "17")
GRPC_RESPONSE = (
    b"\x0a\x04bert" b"\x12\x011" b"\x1a\x0217"
    b"\x2a\x12" b"\x0a\x06logits" b"\x12\x04FP32" b"\x1a\x02\x01\x02"
    b"\x32\x08" b"\x00\x00\x00\x3f" b"\x00\x00\x00\xc0"
)  # fmt: skip
HTTP_REQUEST = {
    "outputs": [{"name": "logits"}],
    "id": "17",
    "inputs": [
        {"name": "input_ids", "datatype": "INT64", "shape": [2, 2], "data": [101, 7, 101, 0]},
        {"name": "attention_mask", "datatype": "INT32", "shape": [2, 2], "data": [1, 1, 1, 0]},
    ],
}
MODEL = ModelMetadata(
    "bert",
    (TensorMetadata("input_ids", "INT64", (-1, 384)),),
    (TensorMetadata("logits", "FP32", (-1, 2)),),
    ("1", "2"),
    "onnxruntime_onnx",
)


def same(found: InferRequest | InferResponse, expected: InferRequest | InferResponse) -> None:
    tensors = [one.inputs if isinstance(one, InferRequest) else one.outputs for one in (found, expected)]
    assert found.id == expected.id
    for one, other in zip(*tensors, strict=True):
        assert one[:2] == other[:2] and one.array.dtype == np.dtype(DTYPES[one.datatype])
        np.testing.assert_array_equal(one.array, other.array)


def test_a_grpc_request_is_these_bytes() -> None:
    message = grpc_forms.write_request("bert", "", REQUEST)
    assert message.SerializeToString(deterministic=True) == GRPC_REQUEST
    found = grpc_forms.read_request(protobuf.REQUESTS["ModelInfer"].FromString(GRPC_REQUEST))
    same(found, REQUEST)
    assert found.outputs == ("logits",)


def test_a_grpc_response_is_these_bytes() -> None:
    assert grpc_forms.write_response(RESPONSE).SerializeToString(deterministic=True) == GRPC_RESPONSE
    same(grpc_forms.read_response(protobuf.RESPONSES["ModelInfer"].FromString(GRPC_RESPONSE)), RESPONSE)


@pytest.mark.parametrize(
    ("datatype", "field", "values"),
    [
        ("INT64", "int64_contents", [1, -(2**40)]),
        ("INT32", "int_contents", [1, -2]),
        ("UINT8", "uint_contents", [1, 255]),
        ("UINT64", "uint64_contents", [1, 2**40]),
        ("FP32", "fp32_contents", [0.5, -2.0]),
        ("FP64", "fp64_contents", [0.5, -2.0]),
        ("BOOL", "bool_contents", [True, False]),
    ],
)
def test_typed_contents_are_read(datatype: str, field: str, values: list[Any]) -> None:
    message = protobuf.RESPONSES["ModelInfer"]()
    tensor = message.outputs.add(name="x", datatype=datatype, shape=[1, 2])
    getattr(tensor.contents, field).extend(values)
    [found] = grpc_forms.read_response(message).outputs
    assert found.array.tolist() == [values] and found.array.dtype == np.dtype(DTYPES[datatype])


def test_an_http_request_is_this_json() -> None:
    body = http_forms.write_request(REQUEST, binary=False)
    assert json.loads(body.content) == HTTP_REQUEST
    assert body.headers == {"Content-Type": "application/json"}
    same(http_forms.read_request(body.content), REQUEST)


def test_a_binary_http_request_is_json_and_these_bytes() -> None:
    body = http_forms.write_request(REQUEST, binary=True)
    assert body.json_length is not None
    assert body.headers["Inference-Header-Content-Length"] == str(body.json_length)
    assert body.content[body.json_length :] == RAW_IDS + RAW_MASK
    head = json.loads(body.content[: body.json_length])
    assert [one["parameters"] for one in head["inputs"]] == [{"binary_data_size": 32}, {"binary_data_size": 16}]
    assert head["outputs"] == [{"name": "logits", "parameters": {"binary_data": True}}]
    found = http_forms.read_request(body.content, body.json_length)
    same(found, REQUEST)
    assert found.binary == {"logits"}


@pytest.mark.parametrize("binary", [(), ("logits",)])
def test_http_responses_go_both_ways(binary: tuple[str, ...]) -> None:
    body = http_forms.write_response(RESPONSE, binary)
    same(http_forms.read_response(body.content, body.json_length), RESPONSE)


def test_nested_json_is_read() -> None:
    nested = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [2, 2], "data": [[1, 2], [3, 4]]}]}
    [found] = http_forms.read_request(json.dumps(nested).encode()).inputs
    assert found.array.tolist() == [[1, 2], [3, 4]]


def test_metadata_go_both_ways() -> None:
    assert grpc_forms.read_model(grpc_forms.write_model(MODEL)) == MODEL
    server = ServerMetadata("triton", "2.51.0", ("binary_tensor_data",))
    assert grpc_forms.read_server(grpc_forms.write_server(server)) == server
    text = b'{"name": "m", "versions": null, "inputs": [{"name": "a", "datatype": "INT64", "shape": [-1], "tags": {}}]}'
    found = http_forms.read_metadata(ModelMetadata, text)
    assert found == ModelMetadata("m", (TensorMetadata("a", "INT64", (-1,)),), (), None)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (([2], "INT64", [1]), "expected 2 values"),
        (([2, 1], "INT64", [[1, 2]]), "expected 2 values"),
        (([2], "INT64", [1, [2]]), "different lengths"),
        (([2], "INT64", [1, 0.5]), "found other values"),
        (([2], "INT64", ["1", "2"]), "found other values"),
        (([2], "INT64", [1, 2**70]), "found other values"),
        (([1], "INT64", None), "found other values"),
        (([2], "INT32", [1, 2**40]), "expected INT32"),
        (([1], "UINT8", [-1]), "expected UINT8"),
        (([1], "BYTES", ["x"]), "datatype"),
        (([-1], "INT64", [1]), "expected the shape"),
        (([2**40], "INT64", [1]), "expected the shape"),
        (([1] * 9, "INT64", [1]), "expected the shape"),
        (([2**31 - 1] * 8, "INT64", [1]), "values"),
    ],
)
def test_values_that_do_not_fit_are_refused(values: tuple[list[int], str, Any], words: str) -> None:
    shape, datatype, data = values
    with pytest.raises(FormError, match=words):
        from_values("x", datatype, shape, data)


@pytest.mark.parametrize("shape", [[3], [1, 1], [2**30, 2**30], [-2]])
def test_raw_bytes_that_do_not_fit_are_refused(shape: list[int]) -> None:
    with pytest.raises(FormError):
        from_raw("x", "INT64", shape, bytes(16))
    with pytest.raises(FormError):
        from_raw("x", "INT64", [2], bytes(15))


@pytest.mark.parametrize(
    ("body", "length", "words"),
    [
        (b"", None, "expected JSON"),
        (b"[]", None, "expected a JSON object"),
        (b"[" * 100_000, None, "nested too deeply"),
        (b'{"inputs": 3}', None, "inputs"),
        (b'{"inputs": []}more', 14, "no bytes after"),
        (b'{"inputs": []}', 15, "expected a Inference-Header-Content-Length of up to 14"),
        (b'{"inputs": [{"name": "x", "datatype": "INT64", "shape": [1]}]}', None, "found other values"),
        (json.dumps({"inputs": [], "id": "x" * 300}).encode(), None, "characters"),
        (json.dumps({"inputs": [{"name": "x", "datatype": "INT8", "shape": [0], "data": []}] * 65}).encode(), None,
         "up to 64 tensors"),
    ],
)  # fmt: skip
def test_bodies_that_are_no_message_are_refused(body: bytes, length: int | None, words: str) -> None:
    with pytest.raises(FormError, match=words):
        http_forms.read_request(body, length)


@pytest.mark.parametrize(
    ("size", "words"), [(9, "expected 9 bytes of 'x'"), (-1, "expected -1 bytes"), (1, "no bytes")]
)
def test_raw_tensors_that_are_not_all_of_the_rest_are_refused(size: int, words: str) -> None:
    tensor = {"name": "x", "datatype": "INT8", "shape": [size], "parameters": {"binary_data_size": size}}
    head = json.dumps({"inputs": [tensor]}).encode()
    with pytest.raises(FormError, match=words):
        http_forms.read_request(head + b"12", len(head))


def test_raw_contents_for_each_tensor_or_for_none() -> None:
    message = grpc_forms.write_request("bert", "", REQUEST)
    del message.raw_input_contents[1]
    with pytest.raises(FormError, match="raw contents of 2 tensors, found 1"):
        grpc_forms.read_request(message)


@settings(max_examples=150, derandomize=True, database=None)
@given(damage=DAMAGES)
def test_damaged_messages_are_read_or_refused(damage: Damage) -> None:
    for binary in (False, True):
        body = http_forms.write_request(REQUEST, binary=binary)
        with suppress(FormError):
            http_forms.read_request(damage.of(body.content), body.json_length)
    with suppress(FormError, DecodeError):
        grpc_forms.read_request(protobuf.REQUESTS["ModelInfer"].FromString(damage.of(GRPC_REQUEST)))
    with suppress(FormError, DecodeError):
        grpc_forms.read_response(protobuf.RESPONSES["ModelInfer"].FromString(damage.of(GRPC_RESPONSE)))
