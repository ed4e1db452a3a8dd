"""Errors of a connection to a node; each ends the connection, and is its reason."""

from __future__ import annotations

from sut.errors import SutError


class NodeError(SutError):
    """A node cannot be reached, or its connection ended."""


class UnreachableError(NodeError):
    """Nothing listens there, or not yet."""


class ProtocolError(NodeError):
    """Bytes or messages that are not the protocol."""


class SilentPeerError(NodeError):
    """The peer closed the connection without a word, as who only looks whether something listens."""
