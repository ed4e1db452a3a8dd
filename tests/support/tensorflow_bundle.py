"""Writes a checkpoint of TensorFlow by the specification of its parts: a table of LevelDB's, protobuf messages."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from training.shards.crc32c import masked_crc32c

NUMBERS = {"float32": 1, "float64": 2, "int32": 3, "int64": 9, "float16": 19}  # of types
_MAGIC = 0xDB4775248B80FB57
_A_BLOCK = 4  # entries, few, so that a small table has several blocks
_A_RESTART = 3


def write(prefix: Path, tensors: Mapping[str, npt.NDArray[Any]]) -> Path:
    """Write the index and the one data file of `tensors`; returns the index."""
    entries, data = {b"": _number(1, 1) + _message(3, _number(1, 1))}, b""
    for name in sorted(tensors):
        content = tensors[name].tobytes()
        entries[name.encode()] = _entry(tensors[name], len(data), content)
        data += content
    prefix.with_name(f"{prefix.name}.data-00000-of-00001").write_bytes(data)
    index = prefix.with_name(f"{prefix.name}.index")
    index.write_bytes(_table(entries))
    return index


def _entry(tensor: npt.NDArray[Any], offset: int, content: bytes) -> bytes:
    shape = b"".join(_message(2, _number(1, size)) for size in tensor.shape)
    crc = varint(6 << 3 | 5) + struct.pack("<I", masked_crc32c(content))
    numbers = _number(1, NUMBERS[tensor.dtype.name]) + _message(2, shape)
    return numbers + _number(4, offset) + _number(5, len(content)) + crc


def _table(entries: Mapping[bytes, bytes]) -> bytes:
    names, table, places = sorted(entries), b"", {}
    for start in range(0, len(names), _A_BLOCK):
        some = names[start : start + _A_BLOCK]
        table, places[some[-1]] = _with_block(table, {name: entries[name] for name in some})
    table, of_no_blocks = _with_block(table, {})
    table, of_places = _with_block(table, places)
    return table + (of_no_blocks + of_places).ljust(40, b"\0") + struct.pack("<Q", _MAGIC)


def _with_block(table: bytes, entries: Mapping[bytes, bytes]) -> tuple[bytes, bytes]:
    """The table with a block more, and where the block is."""
    content, before, restarts = b"", b"", []
    for number, (name, value) in enumerate(entries.items()):
        shared = _shared(before, name) if number % _A_RESTART else 0
        if not shared:
            restarts.append(len(content))
        content += varint(shared) + varint(len(name) - shared) + varint(len(value)) + name[shared:] + value
        before = name
    restarts = restarts or [0]
    content += struct.pack(f"<{len(restarts) + 1}I", *restarts, len(restarts))
    trailer = b"\0" + struct.pack("<I", masked_crc32c(content + b"\0"))
    return table + content + trailer, varint(len(table)) + varint(len(content))


def _shared(before: bytes, name: bytes) -> int:
    """How many bytes at the start are equal."""
    return next(
        (at for at, (a, b) in enumerate(zip(before, name, strict=False)) if a != b), min(len(before), len(name))
    )


def _number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def _message(field: int, content: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first."""
    return bytes([value & 127 | 128]) + varint(value >> 7) if value > 127 else bytes([value])


def tensorflow_name(name: str) -> tuple[str, bool]:
    """TensorFlow's name of a tensor of Hugging Face's, and whether it is stored transposed."""
    if name == "cls.predictions.bias":
        return "cls/predictions/output_bias", False
    parts = name.replace("encoder.layer.", "encoder.layer_").split(".")
    if parts[-2] == "LayerNorm":
        parts[-1] = {"weight": "gamma", "bias": "beta"}[parts[-1]]
    elif parts[-2] == "seq_relationship":
        return f"cls/seq_relationship/output_{parts[-1]}{'s' if parts[-1] == 'weight' else ''}", False
    elif parts[-2].endswith("_embeddings"):
        parts.pop()
    elif parts[-1] == "weight":
        return "/".join([*parts[:-1], "kernel"]), True
    return "/".join(parts), False


def write_model(prefix: Path, tensors: Mapping[str, npt.NDArray[Any]]) -> Path:
    """The tensors of a BERT, given by Hugging Face's names, with the state of an optimizer."""
    named = {tensorflow_name(name): tensor for name, tensor in tensors.items()}
    found = {name: np.ascontiguousarray(one.T) if turned else one for (name, turned), one in named.items()}
    state = {f"{name}/adam_{part}": np.zeros(2, np.float32) for name in found for part in "mv"}
    return write(prefix, {**found, **state, "global_step": np.array(28252, np.int64)})
