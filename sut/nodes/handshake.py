"""The handshake of both sides: versions, then proofs, and only then what a node is."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import NamedTuple

from sut.errors import UsageError
from sut.nodes import credentials
from sut.nodes.addresses import Address
from sut.nodes.channel import Channel
from sut.nodes.credentials import Credentials
from sut.nodes.errors import NodeError, UnreachableError
from sut.nodes.frames import PROTOCOL, STRANGERS, Frame, Kind
from sut.nodes.messages import Challenge, Hello, Proof, Welcome, from_json, to_json, to_text

PATIENCE_S = 5.0  # for a whole handshake
_FROM_NODE = frozenset({Kind.ANSWER, Kind.ERROR, Kind.CREDITS, Kind.PING, Kind.PONG, Kind.BYE, Kind.NAME})
_FROM_CLIENT = frozenset({Kind.INDEXES, Kind.TOKENS, Kind.PING, Kind.PONG, Kind.BYE, Kind.NAME})


class Node(NamedTuple):
    """A connection to a node that has proved what it had to."""

    channel: Channel
    welcome: Welcome


def connect(
    address: Address, own: Credentials, package: str, *, batching: str = "client", patience_s: float = PATIENCE_S
) -> Node:
    """Connect to a node; blocks.

    Args:
        package: the version of this package.

    Raises:
        UnreachableError: nothing listens there.
        NodeError: it does not answer, refuses, or is no node.
        UsageError: it has another version or another token.
    """
    until_s = time.monotonic() + patience_s
    try:
        connection = socket.create_connection(address, patience_s)
    except OSError as error:
        raise UnreachableError(f"expected a node at {address}, found: {error.strerror or error}.") from error
    channel = Channel(connection, STRANGERS)
    try:
        return _greet(channel, address, own, Hello(package, credentials.nonce(), batching), until_s)
    except NodeError as error:
        channel.close()
        hint = "" if own.has_tls else " If it has --tls-cert, type it here, too."
        raise NodeError(f"expected a node at {address}, found: {error}.{hint}") from error
    except BaseException:
        channel.close()
        raise


def _greet(channel: Channel, address: Address, own: Credentials, hello: Hello, until_s: float) -> Node:
    if context := own.tls(is_node=False):
        channel.start_tls(context, address.host, until_s)
    channel.send(Frame(Kind.HELLO, 0, to_json(hello)))
    challenge = from_json(Challenge, channel.wait_for(Kind.CHALLENGE, until_s).payload)
    _check_versions(address, hello, challenge)
    if challenge.needs_token and own.token is None:
        raise UsageError(f"expected a --token-file, which the node at {address} needs, found none.")
    proof = own.proof("client", hello.nonce, challenge.nonce)
    channel.parser.allowed = _FROM_NODE | {Kind.WELCOME}  # what follows may arrive with it
    channel.send(Frame(Kind.PROOF, 0, to_json(Proof(proof))))
    welcome = from_json(Welcome, channel.wait_for(Kind.WELCOME, until_s).payload)
    if not own.is_proved(welcome.proof, "node", hello.nonce, challenge.nonce):
        raise UsageError(
            f"expected a node at {address} with the token of --token-file, found one that does not have it."
        )
    channel.parser.allowed = _FROM_NODE
    return Node(channel, welcome)


def _check_versions(address: Address, ours: Hello, theirs: Challenge) -> None:
    for name, here, there in (
        ("protocol", ours.protocol, theirs.protocol),
        ("mlperf-bert-sut", ours.package, theirs.package),
    ):
        if here != there:
            raise UsageError(
                f"expected {name} {here} on the node at {address}, as here, found {there}. Install the same version."
            )


def accept(channel: Channel, own: Credentials, package: str, welcome: Callable[[str], Welcome]) -> Hello:
    """The node's side; blocks.

    Args:
        welcome: what the node is, given its proof.

    Raises:
        NodeError: the peer is no client, or has not the token; it was told so.
    """
    until_s = time.monotonic() + PATIENCE_S
    if context := own.tls(is_node=True):
        channel.start_tls(context, None, until_s)
    hello = from_json(Hello, channel.wait_for(Kind.HELLO, until_s).payload)
    challenge = Challenge(package, credentials.nonce(), own.token is not None)
    channel.send(Frame(Kind.CHALLENGE, 0, to_json(challenge)))
    proof = from_json(Proof, channel.wait_for(Kind.PROOF, until_s).payload)
    if not own.is_proved(proof.proof, "client", hello.nonce, challenge.nonce):
        channel.send(Frame(Kind.ERROR, 0, to_text("the tokens of the two --token-file differ")))
        raise NodeError("it has another token")
    if hello.protocol != PROTOCOL or hello.batching not in ("client", "node"):
        raise NodeError(f"it speaks protocol {hello.protocol}, batching {hello.batching!r}")
    channel.send(Frame(Kind.WELCOME, 0, to_json(welcome(own.proof("node", hello.nonce, challenge.nonce)))))
    channel.parser.allowed = _FROM_CLIENT
    return hello
