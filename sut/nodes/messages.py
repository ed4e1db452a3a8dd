"""The payloads of frames: JSON for what is said once, fixed binary layouts for queries and answers.

Nothing is a pickle. Whatever a peer sends either becomes one of these values, with its arrays in range of each other,
or is a ProtocolError.

    INDEXES   int32[B]
    TOKENS    uint32 B · int32 lengths[B] · int32 splits[B] · int32 ids[sum of lengths]
    ANSWER    uint32 instance · uint64 computed tokens · float64 batch_s · float64 engine_s · float32[rows, 2]
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import numpy as np

from foundation.arrays import Float32, Int32, Int64
from foundation.bounded_readers import UnreadableError, parse_json
from foundation.foreign_text import printable
from foundation.typed_json import decode, encode
from sut.nodes.errors import ProtocolError
from sut.nodes.frames import MOST_BYTES, PROTOCOL, Kind

_COUNT = struct.Struct("<I")
_ANSWER = struct.Struct("<IQdd")
MOST_TEXT = 2000  # characters of an error
T = TypeVar("T")


@dataclass(frozen=True)
class Hello:
    """The first frame of a client."""

    package: str
    nonce: str
    batching: str = "client"  # queries are batches; "node": they are single samples, from which the node forms batches
    protocol: int = PROTOCOL


@dataclass(frozen=True)
class Challenge:
    """The node's reply to HELLO."""

    package: str
    nonce: str
    needs_token: bool
    protocol: int = PROTOCOL


@dataclass(frozen=True)
class Proof:
    """The client's proof that it has the token; "" without one."""

    proof: str


@dataclass(frozen=True)
class Identity:
    """What a figure depends on, and what must therefore be equal on all machines of a run."""

    task: str
    model: str  # sha256 of the weights, or the name of what has no file
    vocabulary: str  # sha256
    backend: str
    precision: str
    features: str  # digest; if it differs, token ids are sent


@dataclass(frozen=True)
class InstanceSpeed:
    """An instance, and the speed that the node measured at its own warm-up; see `executors.base.Ready`."""

    load_s: float
    samples_per_s: float
    batch_s: float
    token_s: float
    packed: bool
    blas_threads: int | None = None
    remark: str | None = None
    product_weights: int | None = None
    attention_channels: int | None = None


@dataclass(frozen=True, kw_only=True)
class Welcome:
    """What a node is; sent to a client that has proved that it has the token."""

    proof: str
    name: str
    identity: Identity
    instances: tuple[InstanceSpeed, ...]
    credits: int
    most_length: int  # tokens of a sample
    most_tokens: int  # of a query
    planned_for: str  # the scenario that the plan of cores is for
    accelerated: bool = False  # it computes on GPUs
    engine: str | None = None  # the key of a built engine …
    calibrated_on: str | None = None  # … and the digest of the features that it was calibrated on
    machine: Mapping[str, object] = field(default_factory=dict)  # for the record of a run


class Tokens(NamedTuple):
    """Samples as they travel: end to end, without padding. Tokens before a sample's split have type 0, others 1."""

    ids: Int32  # [T]
    lengths: Int64  # [B]
    splits: Int64  # [B], each from 0 to its length


class Rows(NamedTuple):
    """An answer: outputs of a query's samples, and the times in the instance."""

    outputs: Float32  # [rows, 2]
    instance: int
    computed_tokens: int
    batch_s: float
    engine_s: float


def to_json(value: object) -> bytes:
    """The payload of a message that is said once."""
    return json.dumps(encode(value)).encode()


def from_json(kind: type[T], payload: bytes) -> T:
    """The message in a payload. Raises ProtocolError."""
    try:
        return decode(kind, parse_json(payload.decode()))
    except (UnreadableError, UnicodeDecodeError) as error:
        raise ProtocolError(f"expected {kind.__name__.upper()} as JSON, found {error}") from error


def to_text(text: str) -> bytes:
    """The payload of ERROR and BYE."""
    return text[:MOST_TEXT].encode()[: MOST_BYTES[Kind.ERROR]]


def from_text(payload: bytes) -> str:
    """A peer's text, fit for a terminal."""
    return printable(payload.decode(errors="replace"))[:MOST_TEXT]


def to_indexes(indexes: Int64) -> bytes:
    """The payload of INDEXES."""
    return indexes.astype("<i4").tobytes()


def from_indexes(payload: bytes, samples: int) -> Int64:
    """int64[B], each from 0 to `samples` - 1. Raises ProtocolError."""
    if not payload or len(payload) % 4:
        raise ProtocolError(f"expected int32 indexes, found {len(payload)} bytes")
    indexes = np.frombuffer(payload, "<i4").astype(np.int64)
    if indexes.min() < 0 or indexes.max() >= samples:
        raise ProtocolError(f"expected indexes below {samples}, found {indexes.min()} to {indexes.max()}")
    return indexes


def to_tokens(tokens: Tokens) -> bytes:
    """The payload of TOKENS."""
    head = (tokens.lengths.astype("<i4"), tokens.splits.astype("<i4"), tokens.ids.astype("<i4", copy=False))
    return _COUNT.pack(len(tokens.lengths)) + b"".join(one.tobytes() for one in head)


def from_tokens(payload: bytes) -> Tokens:
    """Raises ProtocolError for counts, lengths or splits that do not fit the payload. Ids may be any int32."""
    words, rest = divmod(len(payload), 4)
    count = _COUNT.unpack_from(payload)[0] if words else 0
    if rest or not count or 1 + 2 * count > words:
        raise ProtocolError(f"expected the lengths of {count} samples, found {len(payload)} bytes")
    values = np.frombuffer(payload, "<i4", offset=_COUNT.size)
    lengths, splits = (part.astype(np.int64) for part in (values[:count], values[count : 2 * count]))
    ids = values[2 * count :].astype(np.int32, copy=False)
    if lengths.min() < 1 or lengths.sum() != len(ids) or (splits < 0).any() or (splits > lengths).any():
        raise ProtocolError(f"expected {count} samples of {len(ids)} tokens, found other lengths or splits")
    return Tokens(ids, lengths, splits)


def to_rows(rows: Rows) -> bytes:
    """The payload of ANSWER."""
    head = _ANSWER.pack(rows.instance, rows.computed_tokens, rows.batch_s, rows.engine_s)
    return head + np.ascontiguousarray(rows.outputs, "<f4").tobytes()


def from_rows(payload: bytes) -> Rows:
    """Raises ProtocolError. The outputs are a read-only view of the payload."""
    if len(payload) < _ANSWER.size or (len(payload) - _ANSWER.size) % 8:
        raise ProtocolError(f"expected rows of two float32, found {len(payload)} bytes")
    instance, computed_tokens, batch_s, engine_s = _ANSWER.unpack_from(payload)
    outputs = np.frombuffer(payload, "<f4", offset=_ANSWER.size).reshape(-1, 2)
    if not (0 <= batch_s < 1e9 and 0 <= engine_s < 1e9 and computed_tokens < 1 << 62):
        raise ProtocolError("expected times and counts of a batch, found numbers out of range")
    return Rows(outputs.astype(np.float32, copy=False), instance, computed_tokens, batch_s, engine_s)


def to_count(count: int) -> bytes:
    """The payload of CREDITS."""
    return _COUNT.pack(count)


def from_count(payload: bytes) -> int:
    """Raises ProtocolError."""
    if len(payload) != _COUNT.size:
        raise ProtocolError(f"expected a number of credits, found {len(payload)} bytes")
    return int(_COUNT.unpack(payload)[0])
