"""TFRecords: checksums and bytes against others' definitions, round trips, and what is refused."""

from __future__ import annotations

import gzip
import importlib
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pretraining_rows import GOLDEN, INSTANCES

from training.shards import tf_example, tfrecord
from training.shards.crc32c import crc32c, masked_crc32c
from training.shards.errors import ShardError
from training.shards.instances import Instances, from_rows

FOUR = from_rows(GOLDEN)
ALL = np.arange(len(GOLDEN))
SOME = np.array([0, 2, 2, 3])

# RFC 3720, appendix B.4, and the check value of the catalogue of parametrised CRC algorithms.
CRCS = {
    b"123456789": 0xE3069283,
    bytes(32): 0x8A9136AA,
    b"\xff" * 32: 0x62A8AB43,
    bytes(range(32)): 0x46DD794E,
    bytes(range(31, -1, -1)): 0x113FDB5C,
}


@pytest.mark.parametrize("content", CRCS)
def test_the_published_checksums(content: bytes) -> None:
    assert crc32c(content) == CRCS[content]


@pytest.mark.parametrize("size", [0, 1, 31, 32, 4_095, 4_096, 4_097, 4_099, 9_000])
def test_long_pieces_have_the_checksum_of_one_bit_at_a_time(size: int) -> None:
    content = bytes(np.random.default_rng(size).integers(0, 256, size, np.uint8))
    register = 0xFFFFFFFF
    for byte in content:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ 0x82F63B78 * (register & 1)
    assert crc32c(content) == register ^ 0xFFFFFFFF


def example_class() -> Any:
    """tf.train.Example, made of its description by the library."""
    names = ("descriptor_pb2", "descriptor_pool", "message_factory")  # untyped; onnx needs them too
    descriptor, pools, factory = (importlib.import_module(f"google.protobuf.{name}") for name in names)
    kinds = descriptor.FieldDescriptorProto
    file = descriptor.FileDescriptorProto(name="example.proto", package="test", syntax="proto3")

    def message(name: str, *fields: tuple[str, int, int, int, str]) -> Any:
        found = file.message_type.add(name=name)
        for field, number, kind, label, of in fields:
            found.field.add(name=field, number=number, type=kind, label=label, type_name=of or None)
        return found

    once, many = kinds.LABEL_OPTIONAL, kinds.LABEL_REPEATED
    message("BytesList", ("value", 1, kinds.TYPE_BYTES, many, ""))
    message("FloatList", ("value", 1, kinds.TYPE_FLOAT, many, ""))
    message("Int64List", ("value", 1, kinds.TYPE_INT64, many, ""))
    lists = ("BytesList", "FloatList", "Int64List")
    message(
        "Feature",
        *((name, number, kinds.TYPE_MESSAGE, once, f".test.{name}") for number, name in enumerate(lists, 1)),
    )
    features = message("Features", ("feature", 1, kinds.TYPE_MESSAGE, many, ".test.Features.FeatureEntry"))
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=kinds.TYPE_STRING, label=once)
    entry.field.add(name="value", number=2, type=kinds.TYPE_MESSAGE, label=once, type_name=".test.Feature")
    message("Example", ("features", 1, kinds.TYPE_MESSAGE, once, ".test.Features"))
    pool = pools.DescriptorPool()
    pool.Add(file)
    return factory.GetMessageClass(pool.FindMessageTypeByName("test.Example"))


EXAMPLE = example_class()
LISTS = st.lists(st.integers(-(2**63), 2**63 - 1), max_size=5)


@settings(max_examples=20, deadline=None)
@given(st.lists(LISTS, max_size=4), st.lists(st.floats(width=32, allow_nan=False), max_size=3))
def test_what_the_library_writes_is_read(lists: list[list[int]], weights: list[float]) -> None:
    records = []
    for values in lists:
        example = EXAMPLE()
        example.features.feature["numbers"].Int64List.value.extend(values)
        example.features.feature["weights"].FloatList.value.extend(weights)
        records.append(tf_example.parse(example.SerializeToString()))
    found, counts = tf_example.integers([one["numbers"] for one in records], "numbers")
    assert found.tolist() == [value for values in lists for value in values]
    assert counts.tolist() == list(map(len, lists))
    floats, _ = tf_example.floats([one["weights"] for one in records], "weights")
    assert floats.tolist() == weights * len(lists)


def test_numbers_may_stand_in_fields_of_their_own() -> None:
    """Readers must take lists that are not packed, too."""
    one_by_one = b"\x08\x01\x08\xac\x02"
    feature = b"\x1a" + bytes([len(one_by_one)]) + one_by_one
    entry = b"\x0a\x01a\x12" + bytes([len(feature)]) + feature
    features = b"\x0a" + bytes([len(entry)]) + entry
    example = b"\x0a" + bytes([len(features)]) + features
    assert tf_example.integers([tf_example.parse(example)["a"]], "a")[0].tolist() == [1, 300]


def record_contents(path: Path) -> list[bytes]:
    found, content, at = [], path.read_bytes(), 0
    while at < len(content):
        (size,) = struct.unpack_from("<Q", content, at)
        found.append(content[at + 12 : at + 12 + size])
        at += 16 + size
    return found


def written(folder: Path) -> Path:
    path = folder / "part-00000-of-00001"
    tfrecord.write_file(path, FOUR, 128, 20)
    return path


def test_the_library_reads_what_is_written(tmp_path: Path) -> None:
    contents, row = record_contents(written(tmp_path)), GOLDEN[0]
    example = EXAMPLE.FromString(contents[0])
    tokens, masked = 128 - len(row.input_ids), 20 - len(row.masked_lm_ids)
    integers = {
        "input_ids": row.input_ids + [0] * tokens,
        "input_mask": [1] * len(row.input_ids) + [0] * tokens,
        "segment_ids": row.segment_ids + [0] * tokens,
        "masked_lm_positions": row.masked_lm_positions + [0] * masked,
        "masked_lm_ids": row.masked_lm_ids + [0] * masked,
        "next_sentence_labels": [row.is_random_next],
    }
    found = example.features.feature
    assert found.keys() == {*integers, "masked_lm_weights"}
    assert {name: list(found[name].Int64List.value) for name in integers} == integers
    assert list(found["masked_lm_weights"].FloatList.value) == [1.0] * len(row.masked_lm_ids) + [0.0] * masked
    assert [len(one) for one in contents] == [len(EXAMPLE.FromString(one).SerializeToString()) for one in contents]


def test_records_are_framed_by_lengths_and_checksums(tmp_path: Path) -> None:
    content = written(tmp_path).read_bytes()
    size, crc = struct.unpack_from("<QI", content)
    assert crc == masked_crc32c(content[:8])
    assert struct.unpack_from("<I", content, 12 + size)[0] == masked_crc32c(content[12 : 12 + size])
    plain = crc32c(content[:8])
    assert crc == ((plain >> 15) + (plain << 17 & 0xFFFFFFFF) + 0xA282EAD8) % 2**32


def test_a_file_gives_back_what_was_written(tmp_path: Path) -> None:
    found = tfrecord.open_shard(written(tmp_path))
    assert (len(found), found.max_seq_length, found.max_predictions) == (4, 128, 20)
    assert found.take(ALL) == FOUR
    assert found.take(SOME) == FOUR.take(SOME)
    assert found.lengths_of(SOME).tolist() == FOUR.lengths[SOME].tolist()
    found.verify()


@settings(max_examples=10, deadline=None)
@given(INSTANCES)
def test_any_instances_come_back(tmp_path_factory: pytest.TempPathFactory, instances: Instances) -> None:
    path = tmp_path_factory.mktemp("tfrecord") / "a.tfrecord"
    tfrecord.write_file(path, instances, 12, 4)
    assert tfrecord.open_shard(path).take(np.arange(len(instances))) == instances


def test_the_index_of_a_large_file_is_kept_and_used_for_this_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tfrecord, "_KEPT_FROM", 1)
    path = written(tmp_path)
    found = tfrecord.open_shard(path)
    kept = tmp_path / f".{path.name}.index.npy"
    content = bytearray(path.read_bytes())
    stamp = path.stat()
    content[0] ^= 1  # noticed only by reading the file through
    path.write_bytes(content)
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert tfrecord.open_shard(path).offsets.tolist() == found.offsets.tolist()
    damaged = bytearray(kept.read_bytes())
    damaged[-1] ^= 1
    kept.write_bytes(damaged)
    with pytest.raises(ShardError, match="expected the length of record 0"):
        tfrecord.open_shard(path)


def reframed(change: Callable[[dict[str, tf_example.Values]], object]) -> Callable[[bytes], bytes]:
    """A change of the last instance, with right checksums."""

    def make(content: bytes) -> bytes:
        at = next(one for one in range(len(content) - 16, -1, -1) if is_record(content, one))
        lists = tf_example.parse(content[at + 12 : -4])
        change(lists)
        example = tf_example.encode(lists)
        head = struct.pack("<Q", len(example))
        crcs = [struct.pack("<I", masked_crc32c(one)) for one in (head, example)]
        return content[:at] + head + crcs[0] + example + crcs[1]

    return make


def is_record(content: bytes, at: int) -> bool:
    size, crc = struct.unpack_from("<QI", content, at)
    return bool(at + 16 + size == len(content) and masked_crc32c(content[at : at + 8]) == crc)


def replaced(name: str, kind: int, content: bytes) -> Callable[[bytes], bytes]:
    return reframed(lambda lists: lists.update({name: tf_example.Values(kind, content)}))


def flipped(at: int) -> Callable[[bytes], bytes]:
    return lambda content: content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


ONES = b"\x01"
WRONG: dict[str, Callable[[bytes], bytes]] = {
    r"the length of record 0 and its CRC-32C at byte 0, found others": flipped(3),
    r"the length of record 0 and its CRC-32C at byte 0, found other": flipped(8),
    r"CRC-32C of instance 0 \w{8}, found \w{8}. The file is damaged": flipped(40),
    r"CRC-32C of instance 3 \w{8}, found \w{8}. The file is": lambda content: flipped(len(content) - 1)(content),
    r"record 3 to end at byte [\d,]+, found [\d,]+ bytes": lambda content: content[:-1],
    r"the length of record 4 and its CRC-32C at byte": lambda content: content + b"abc",
    r"TFRecords, found a gzip archive. Type: gunzip": gzip.compress,
    r"128 input_mask, found 2 in instance 3": replaced("input_mask", tf_example.INTEGERS, ONES * 2),
    r"20 masked_lm_weights, found 1 in instance 3": replaced("masked_lm_weights", tf_example.FLOATS, bytes(4)),
    r"floats in masked_lm_weights": replaced("masked_lm_weights", tf_example.INTEGERS, bytes(20)),
    r"floats of 4 bytes in masked_lm_weights": replaced("masked_lm_weights", tf_example.FLOATS, bytes(79)),
    r"numbers of 64 bits in input_ids": replaced("input_ids", tf_example.INTEGERS, b"\xff" * 128),
    r"ids and positions of 31 bits": replaced("input_ids", tf_example.INTEGERS, (b"\xff" * 9 + b"\x01") * 128),
    r"masked_lm_weights of 1, then of 0": replaced("masked_lm_weights", tf_example.FLOATS, b"\0\0\0?" * 20),
    r"next_sentence_labels of 0 or 1": replaced("next_sentence_labels", tf_example.INTEGERS, b"\x02"),
    r"segment_ids in instance 3, found input_ids": reframed(lambda lists: lists.pop("segment_ids")),
}


@pytest.mark.parametrize("expected", WRONG)
def test_wrong_content_is_one_clear_error(tmp_path: Path, expected: str) -> None:
    path = written(tmp_path)
    path.write_bytes(WRONG[expected](path.read_bytes()))
    with pytest.raises(ShardError, match=f"expected {expected}"):
        tfrecord.open_shard(path).take(ALL)


def test_bytes_that_are_no_example_are_refused() -> None:
    for wrong in (b"\x0a", b"\x0a\x05abc", b"\x0b\x00", b"\x0a\x03\x0a\x01\x0f", b"\x0a" + b"\xff" * 11):
        with pytest.raises(ShardError, match=r"expected a tf\.Example"):
            tf_example.parse(wrong)
