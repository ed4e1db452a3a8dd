"""Frames: a length, a kind, a number and a payload; docs/design/fleet.md has the protocol.

The length is checked against the limit of the kind as soon as the head is there, and memory grows only with bytes that
have arrived, so a head that lies about its length costs nothing.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import NamedTuple

from sut.nodes.errors import ProtocolError

PROTOCOL = 1  # the version; both sides must have the same
_HEAD = struct.Struct("<IBQ")  # length of the payload, kind, number


class Kind(IntEnum):
    """What a frame is; values are part of the protocol."""

    HELLO = 1
    CHALLENGE = 2
    PROOF = 3
    WELCOME = 4
    INDEXES = 5  # a query of samples that the node has
    TOKENS = 6  # a query of any samples
    ANSWER = 7
    ERROR = 8  # with the number of a query; 0: of the connection, which ends
    CREDITS = 9
    PING = 10
    PONG = 11
    BYE = 12
    NAME = 13  # asks a node for its name, and has it in the answer


_SMALL, _FACTS, _LARGE = 1 << 12, 1 << 20, 64 << 20
MOST_BYTES: dict[Kind, int] = {
    Kind.HELLO: _SMALL,
    Kind.CHALLENGE: _SMALL,
    Kind.PROOF: _SMALL,
    Kind.WELCOME: _FACTS,
    Kind.INDEXES: _LARGE,
    Kind.TOKENS: _LARGE,
    Kind.ANSWER: _LARGE,
    Kind.ERROR: _SMALL,
    Kind.CREDITS: _SMALL,
    Kind.PING: 0,
    Kind.PONG: 0,
    Kind.BYE: _SMALL,
    Kind.NAME: _SMALL,
}
STRANGERS = frozenset({Kind.HELLO, Kind.CHALLENGE, Kind.PROOF, Kind.ERROR})  # before a peer has proved who it is


class Frame(NamedTuple):
    """One message."""

    kind: Kind
    number: int
    payload: bytes = b""

    def encode(self) -> bytes:
        """The bytes to send. Raises ProtocolError if the payload is over its kind's limit."""
        _check_length(self.kind, len(self.payload))
        return _HEAD.pack(len(self.payload), self.kind, self.number) + self.payload


def _check_length(kind: Kind, length: int) -> None:
    if length > MOST_BYTES[kind]:
        raise ProtocolError(f"expected at most {MOST_BYTES[kind]:,} bytes in {kind.name}, found {length:,}")


class FrameParser:
    """Bytes in pieces of any size → frames. After a ProtocolError it must not be used again.

    `allowed` are the kinds that the peer may send, which a handshake extends.
    """

    def __init__(self, allowed: frozenset[Kind] = frozenset(Kind)) -> None:
        self.allowed = allowed
        self._bytes = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are complete with `data`.

        Raises:
            ProtocolError: an unknown kind, one that is not allowed, or a length over its limit.
        """
        self._bytes += data
        frames: list[Frame] = []
        at = 0
        while at + _HEAD.size <= len(self._bytes):
            length, value, number = _HEAD.unpack_from(self._bytes, at)
            kind = self._kind(value)
            _check_length(kind, length)
            end = at + _HEAD.size + length
            if end > len(self._bytes):
                break
            frames.append(Frame(kind, number, bytes(self._bytes[at + _HEAD.size : end])))
            at = end
        del self._bytes[:at]
        return frames

    def _kind(self, value: int) -> Kind:
        if value not in self.allowed:
            known = f"{Kind(value).name}, which may not come here" if value in MOST_BYTES else f"kind {value}"
            raise ProtocolError(f"expected a frame of the protocol, found {known}")
        return Kind(value)
