"""Frames and messages: what is sent is what arrives, in pieces of any size; anything else is a ProtocolError."""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.arrays import Int64
from sut.nodes import messages
from sut.nodes.errors import ProtocolError
from sut.nodes.frames import MOST_BYTES, STRANGERS, Frame, FrameParser, Kind
from sut.nodes.messages import Challenge, Hello, Proof, Rows, Tokens, Welcome

FRAMES = st.builds(
    Frame,
    st.sampled_from([kind for kind in Kind if MOST_BYTES[kind]]),
    st.integers(0, 2**64 - 1),
    st.binary(max_size=60),
)


@given(st.lists(FRAMES, max_size=6), st.lists(st.integers(1, 40), min_size=1, max_size=10))
def test_frames_arrive_in_pieces_of_any_size(frames: list[Frame], sizes: list[int]) -> None:
    data, parser, found, at = b"".join(frame.encode() for frame in frames), FrameParser(), [], 0
    for number in range(len(data)):
        size = sizes[number % len(sizes)]
        found += parser.feed(data[at : at + size])
        at += size
    assert found == frames


@given(st.lists(st.binary(max_size=50), max_size=6))
def test_any_bytes_are_frames_or_an_error(pieces: list[bytes]) -> None:
    parser = FrameParser()
    try:
        for piece in pieces:
            for frame in parser.feed(piece):
                assert len(frame.payload) <= MOST_BYTES[frame.kind]
    except ProtocolError:
        pass


@pytest.mark.parametrize("kind", Kind)
def test_a_length_over_the_limit_is_refused_with_the_head(kind: Kind) -> None:
    head = struct.pack("<IBQ", MOST_BYTES[kind] + 1, kind, 1)
    with pytest.raises(ProtocolError, match=f"at most .* bytes in {kind.name}, found"):
        FrameParser().feed(head)
    with pytest.raises(ProtocolError, match=kind.name):
        Frame(kind, 1, bytes(MOST_BYTES[kind] + 1)).encode()


def test_a_stranger_may_send_few_kinds() -> None:
    for kind in set(Kind) - STRANGERS:
        with pytest.raises(ProtocolError, match=f"{kind.name}, which may not come here"):
            FrameParser(STRANGERS).feed(Frame(kind, 1).encode())
    assert all(MOST_BYTES[kind] <= 4096 for kind in STRANGERS)


READERS: dict[str, Callable[[bytes], object]] = {
    "indexes": lambda payload: messages.from_indexes(payload, 10),
    "tokens": messages.from_tokens,
    "rows": messages.from_rows,
    "count": messages.from_count,
    **{kind.__name__: lambda payload, kind=kind: messages.from_json(kind, payload)  # type: ignore[misc]
       for kind in (Hello, Challenge, Proof, Welcome)},
}  # fmt: skip


WORDS = st.lists(st.integers(-5, 12), max_size=12).map(lambda found: np.array(found, "<i4").tobytes())


@pytest.mark.parametrize("name", READERS)
@given(payload=st.one_of(st.binary(max_size=80), WORDS))
def test_any_payload_is_a_message_or_an_error(name: str, payload: bytes) -> None:
    with suppress(ProtocolError):
        READERS[name](payload)


SAMPLES = st.lists(
    st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=9).flatmap(
        lambda ids: st.tuples(st.just(ids), st.integers(0, len(ids)))
    ),
    min_size=1,
    max_size=5,
)


@given(SAMPLES)
def test_tokens_arrive_as_they_were_sent(samples: list[tuple[list[int], int]]) -> None:
    ids = np.array([one for sample, _ in samples for one in sample], np.int32)
    lengths = np.array([len(sample) for sample, _ in samples], np.int64)
    splits = np.array([split for _, split in samples], np.int64)
    payload = messages.to_tokens(Tokens(ids, lengths, splits))
    found = messages.from_tokens(payload)
    for sent, came in ((ids, found.ids), (lengths, found.lengths), (splits, found.splits)):
        np.testing.assert_array_equal(sent, came)
    assert [one.dtype.name for one in found] == ["int32", "int64", "int64"]


@given(st.integers(0, 5), st.integers(0, 2**40))
def test_rows_and_indexes_arrive_as_they_were_sent(count: int, tokens: int) -> None:
    outputs = np.random.default_rng(count).random((count, 2), np.float32)
    found = messages.from_rows(messages.to_rows(Rows(outputs, 3, tokens, 0.25, 0.125)))
    np.testing.assert_array_equal(found.outputs, outputs)
    assert found[1:] == (3, tokens, 0.25, 0.125)
    indexes: Int64 = np.arange(count + 1)
    np.testing.assert_array_equal(messages.from_indexes(messages.to_indexes(indexes), count + 1), indexes)
    with pytest.raises(ProtocolError, match="indexes below"):
        messages.from_indexes(messages.to_indexes(indexes), count)


def test_a_peers_text_is_fit_for_a_terminal() -> None:
    assert "\x1b" not in messages.from_text(b"\x1b[2Jboo\xff")
    assert len(messages.to_text("é" * 9000)) <= MOST_BYTES[Kind.ERROR]
