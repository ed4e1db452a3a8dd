"""Which model a --model names, what its metadata make of a batch, and what becomes of its answers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from backends.base import Batch
from backends.errors import BackendError
from backends.fake import fake_answer, fake_class
from backends.v2 import address, calls, signature
from backends.v2.address import Address
from backends.v2.messages import ModelMetadata, TensorMetadata
from backends.v2.signature import ServedSignature
from backends.v2.tensors import Tensor
from foundation.arrays import Float32

FREE = (-1, -1)
MLPERF = ("input_ids", "input_mask", "segment_ids")
SPANS = (("start_logits", "FP32", FREE), ("end_logits", "FP32", FREE))


def metadata(
    inputs: tuple[str, ...] = MLPERF,
    outputs: tuple[tuple[str, str, tuple[int, ...]], ...] = SPANS,
    shape: tuple[int, ...] = FREE,
    datatype: str = "INT64",
) -> ModelMetadata:
    return ModelMetadata(
        "bert", tuple(TensorMetadata(name, datatype, shape) for name in inputs),
        tuple(TensorMetadata(*one) for one in outputs),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("v2://box:8001/bert", ("grpc", False, "box", 8001, "bert", "")),
        ("v2+grpcs://10.0.0.5:1/m%20n/versions/3", ("grpc", True, "10.0.0.5", 1, "m n", "3")),
        ("v2+http://[::1]:80/bert/", ("http", False, "::1", 80, "bert", "")),
        ("v2+https://box:443/bert", ("http", True, "box", 443, "bert", "")),
    ],
)
def test_an_address(spec: str, expected: tuple[Any, ...]) -> None:
    names = ("protocol", "is_encrypted", "host", "port", "model", "version")
    assert address.parse(spec) == Address(**dict(zip(names, expected, strict=True)))


@pytest.mark.parametrize(
    "spec",
    ["v2", "v2://box/bert", "v2://box:8001", "v2://box:8001/", "v2://box:99999/bert", "v2://:8001/bert", "v2://[:1/b",
     "http://box:8001/bert", "v2://box:8001/a/b", "v2://me:pw@box:1/b", "v2://box:8001/bert?x=1", "v2://bo\nx:1/b"],
)  # fmt: skip
def test_what_is_no_address(spec: str) -> None:
    with pytest.raises(BackendError, match=r"expected a model on a server.*Type v2://HOST:PORT/NAME"):
        address.parse(spec)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (metadata(inputs=("ids",)), "inputs among"),
        (metadata(inputs=("input_ids", "pixels")), "found input_ids INT64 .*pixels"),
        (metadata(inputs=("input_mask", "segment_ids")), "inputs among"),
        (metadata(inputs=("input_ids", "input_mask", "attention_mask")), "inputs among"),
        (metadata(datatype="FP32"), "INT64 or INT32"),
        (metadata(shape=(-1,)), "one shape"),
        (metadata(inputs=("input_ids",), shape=(-1, 384)), "attention_mask"),
        (metadata(outputs=SPANS[:1]), "outputs start_logits"),
        (metadata(outputs=(("logits", "BYTES", FREE),)), "of FP32"),
    ],
)
def test_models_that_are_no_bert(model: ModelMetadata, words: str) -> None:
    with pytest.raises(BackendError, match=words):
        signature.of(model)


def batch(*lengths: int) -> Batch:
    draw = np.random.default_rng(3)
    return Batch.of([(draw.integers(5, 900, n), (np.arange(n) > n // 2).astype(np.int64)) for n in lengths])


def serve(tensors: tuple[Tensor, ...], found: ServedSignature, outputs: dict[str, str]) -> dict[str, Float32]:
    """A server with the fake backend's model, which sees padding as a mask, or as token 0."""
    arrays = {one.field: tensor.array for one, tensor in zip(found.graph.inputs, tensors, strict=True)}
    ids = arrays["input_ids"]
    lengths = arrays.get("attention_mask", np.ones_like(ids)).sum(axis=1)
    padded = np.full((*ids.shape, 2), np.nan, np.float32)
    classes = np.full((len(ids), 2), np.nan, np.float32)
    for row, length in enumerate(lengths):
        if length:
            one = Batch.of([(ids[row, :length], ids[row, :length])])
            padded[row, :length], classes[row] = fake_answer(one), fake_class(one)[0]
    known = {"start": padded[..., 0], "end": padded[..., 1], "both": padded, "classes": classes}
    return {name: known[what] for name, what in outputs.items()}


START_END = {"start_logits": "start", "end_logits": "end"}
JOINT = (("logits", "FP32", (-1, -1, 2)),)


@pytest.mark.parametrize(
    ("model", "outputs", "most_batch", "shapes"),
    [
        (metadata(), START_END, None, [(5, 9)]),
        (metadata(inputs=("token_type_ids", "attention_mask", "input_ids"), datatype="INT32"), START_END, None,
         [(5, 9)]),
        (metadata(), START_END, 2, [(2, 9), (2, 6), (1, 4)]),
        (metadata(shape=(-1, 12)), START_END, None, [(5, 12)]),
        (metadata(shape=(2, 12)), START_END, None, [(2, 12), (2, 12), (2, 12)]),
        (metadata(shape=(8, -1)), START_END, None, [(8, 9)]),
        (metadata(inputs=("input_ids",)), START_END, None, [(1, 7), (1, 9), (2, 6), (1, 4)]),
        (metadata(outputs=JOINT), {"logits": "both"}, 4, [(4, 9), (1, 4)]),
        (metadata(outputs=(("output_end_logits", "FP64", FREE), ("output_start_logits", "FP64", FREE))),
         {"output_end_logits": "end", "output_start_logits": "start"}, None, [(5, 9)]),
        (metadata(outputs=(("logits", "FP32", (-1, 2)),)), {"logits": "classes"}, 3, [(3, 9), (2, 6)]),
    ],
)  # fmt: skip
def test_each_sample_gets_its_own_answer(
    model: ModelMetadata, outputs: dict[str, str], most_batch: int | None, shapes: list[tuple[int, int]]
) -> None:
    whole, found = batch(7, 9, 6, 6, 4), signature.of(model, most_batch)
    parts = calls.of(whole, found)
    assert [call.shape for call in parts] == shapes
    rows = []
    for call in parts:
        tensors = calls.inputs(call, found)
        assert {(one.array.shape, str(one.array.dtype)) for one in tensors} == {
            (call.shape, "int32" if tensors[0].datatype == "INT32" else "int64")
        }
        rows.append(calls.answer(call, found, serve(tensors, found, outputs)))
    expected = (fake_class if "classes" in outputs.values() else fake_answer)(whole)
    np.testing.assert_array_equal(np.concatenate(rows), expected)
    assert rows[0].dtype == np.float32


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"end_logits": None}, "expected the output 'end_logits'"),
        ({"end_logits": np.zeros((3, 9))}, r"expected an output \[2, 9\] of the server, found \[3, 9\]"),
        ({"start_logits": np.zeros(18)}, r"found \[18\]"),
    ],
)
def test_other_outputs_are_refused(change: dict[str, Any], words: str) -> None:
    found = signature.of(metadata())
    [call] = calls.of(batch(9, 4), found)
    outputs = {**serve(calls.inputs(call, found), found, START_END), **change}
    with pytest.raises(BackendError, match=words):
        calls.answer(call, found, {name: one for name, one in outputs.items() if one is not None})


def test_a_sample_longer_than_a_fixed_length_is_refused() -> None:
    fixed = signature.of(metadata(shape=(-1, 8)))
    with pytest.raises(BackendError, match="samples of up to 8 tokens"):
        calls.of(batch(9), fixed)
    free = replace(fixed, graph=replace(fixed.graph, length=None))
    assert len(calls.of(batch(9), free)) == 1
