"""The face of a node that speaks frames: accepts connections, checks each query, sends each answer.

Handshakes block, so each has a thread of its own, of which there are few at a time; then one thread serves all clients.
"""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Protocol

from foundation.arrays import Int64
from sut.errors import UsageError
from sut.executors.base import Outcome, Ready
from sut.nodes import handshake, messages
from sut.nodes.addresses import Address
from sut.nodes.channel import Channel
from sut.nodes.credentials import Credentials
from sut.nodes.errors import NodeError, ProtocolError, SilentPeerError
from sut.nodes.frames import STRANGERS, Frame, Kind
from sut.nodes.loop import Loop
from sut.nodes.messages import InstanceSpeed, Rows, Tokens, Welcome
from sut.serving.core import RefusedRequestError, Request, ServingCore

_MOST_CLIENTS, _MOST_STRANGERS = 64, 16
_NO_DESCRIPTOR_S = 0.05
_QUIET_S = 0.3  # after its last answer a node that ends waits this long for queries that were sent before it said so


class About(Protocol):
    """What the node is, given its proof and the credits of a client."""

    def __call__(self, proof: str, credits: int) -> Welcome: ...


@dataclass(eq=False)
class _Client:
    channel: Channel
    peer: str
    forms_batches: bool  # else the node does
    most: int  # queries at a time, whatever its credits are
    waiting: set[int] = field(default_factory=set)  # numbers of its queries under way


class FrameServer:
    """Serves a core at the address of a bound socket.

    Args:
        samples: of the node's data set, which queries may name by index.
        bound: of `bind`; it is closed with the server.
        about: what the node is, given its proof and the credits of the client.
    """

    def __init__(
        self, core: ServingCore, samples: int, bound: socket.socket, own: Credentials, package: str, about: About
    ) -> None:
        self.failure: Exception | None = None
        self._core, self._samples, self._own = core, samples, own
        self._package, self._about = package, about
        self._lock = threading.Lock()
        self._clients: list[_Client] = []
        self._strangers = threading.Semaphore(_MOST_STRANGERS)
        self._closing = threading.Event()
        self._socket = bound
        self.address = Address(*bound.getsockname()[:2])
        self._loop = Loop("clients", lambda: None, self._defect)
        self._accepting = threading.Thread(target=self._accept, name="accept", daemon=True)

    def start(self) -> None:
        self._socket.listen(_MOST_STRANGERS)
        self._loop.start()
        self._accepting.start()

    def _accept(self) -> None:
        try:
            while not self._closing.is_set():
                self._accept_one()
        except Exception as error:  # noqa: BLE001 - a node that takes no clients must say so
            if not self._closing.is_set():
                self._defect(error)

    def _accept_one(self) -> None:
        try:
            connection, peer = self._socket.accept()
        except OSError:  # no descriptor is left, until a client goes; or the socket is closed
            self._closing.wait(_NO_DESCRIPTOR_S)
            return
        if not self._strangers.acquire(blocking=False):
            connection.close()
            return
        name = str(Address(*peer[:2]))
        threading.Thread(target=self._greet, args=(connection, name), name="greet", daemon=True).start()

    def _greet(self, connection: socket.socket, peer: str) -> None:
        channel = Channel(connection, STRANGERS)
        try:
            if len(self._clients) >= _MOST_CLIENTS:
                raise NodeError(f"there are {_MOST_CLIENTS} clients already")
            hello = handshake.accept(channel, self._own, self._package, self._welcome)
            forms_batches = hello.batching == "client"
            most = self._core.capacity * (1 if forms_batches else self._core.samples_per_batch)
            self._join(_Client(channel, peer, forms_batches, most))
        except SilentPeerError:  # an orchestrator that looks whether the node is up
            channel.close()
        except NodeError as error:
            channel.close()
            print(f"refused {peer}: {error}", file=sys.stderr, flush=True)
        finally:
            self._strangers.release()

    def _welcome(self, proof: str) -> Welcome:
        found = self._about(proof, self._share(1))
        return replace(found, name=f"{found.name}:{self.address.port}")

    def _join(self, client: _Client) -> None:
        with self._lock:
            self._clients.append(client)
        self._loop.add(client.channel, partial(self._on_frame, client), partial(self._leave, client))
        self._grant()

    def _leave(self, client: _Client, reason: str) -> None:
        with self._lock:
            self._clients.remove(client)
        self._grant()

    def _share(self, more: int = 0) -> int:
        """The credits of each client."""
        return max(1, self._core.capacity // max(1, len(self._clients) + more))

    def _grant(self) -> None:
        credits = 0 if self._closing.is_set() else self._share()
        with self._lock:
            clients = list(self._clients)
        for client in clients:
            most = credits if client.forms_batches else min(client.most, credits * self._core.samples_per_batch)
            client.channel.send(Frame(Kind.CREDITS, 0, messages.to_count(most)))

    def _on_frame(self, client: _Client, frame: Frame) -> None:
        try:
            if frame.kind in (Kind.INDEXES, Kind.TOKENS):
                self._query(client, frame)
            elif frame.kind is Kind.PING:
                client.channel.send(Frame(Kind.PONG, frame.number))
            elif frame.kind is Kind.NAME:
                client.channel.send(Frame(Kind.NAME, frame.number, messages.to_text(self._welcome("").name)))
            elif frame.kind is Kind.BYE:
                raise NodeError("it said bye")
        except ProtocolError as error:
            client.channel.send(Frame(Kind.ERROR, 0, messages.to_text(str(error))))
            raise

    def _query(self, client: _Client, frame: Frame) -> None:
        work: Int64 | Tokens
        if frame.kind is Kind.INDEXES:
            work = messages.from_indexes(frame.payload, self._samples)
        else:
            work = messages.from_tokens(frame.payload)
        if not client.forms_batches and (samples := _samples(work)) != 1:
            raise ProtocolError(f"expected single samples, since this node forms the batches, found {samples}")
        if not frame.number or frame.number in client.waiting:
            raise ProtocolError(f"expected a new number of a query, found {frame.number}")
        if len(client.waiting) >= client.most:
            raise ProtocolError(f"expected at most {client.most} queries at a time, found more")
        client.waiting.add(frame.number)
        request = Request(work, partial(self._answer, client, frame.number))
        try:
            (self._core.submit_batch if client.forms_batches else self._core.submit_sample)(request)
        except RefusedRequestError as error:
            self._send(client, Frame(Kind.ERROR, frame.number, messages.to_text(str(error))))

    def _answer(self, client: _Client, number: int, outcome: Outcome) -> None:
        answer = outcome.answer
        if answer.error is not None and self._core.is_broken:
            return  # the client learns it with the end of the connection, and asks another node
        if answer.error is not None or answer.outputs is None:
            text = f"{type(answer.error).__name__}: {answer.error}"
            self._send(client, Frame(Kind.ERROR, number, messages.to_text(text)))
            return
        rows = Rows(answer.outputs, outcome.instance, answer.computed_tokens, answer.batch_s, answer.engine_s)
        self._send(client, Frame(Kind.ANSWER, number, messages.to_rows(rows)))

    def _send(self, client: _Client, frame: Frame) -> None:
        client.waiting.discard(frame.number)
        client.channel.send(frame)

    def _defect(self, error: Exception) -> None:
        self.failure = self.failure or error

    def drain(self, patience_s: float) -> bool:
        """Take no more clients, grant no more credits, answer what is under way, and say bye.

        False if it was not all answered in time."""
        self._stop_listening()
        self._grant()
        until_s, quiet_s = time.monotonic() + patience_s, 0.0
        while quiet_s < _QUIET_S and time.monotonic() < until_s:
            time.sleep(0.05)
            quiet_s = quiet_s + 0.05 if self._core.is_idle else 0.0
        self.close("it is ending")
        return quiet_s >= _QUIET_S

    def close(self, reason: str) -> None:
        """Tell all clients why, and close their connections."""
        self._stop_listening()
        with self._lock:
            clients = list(self._clients)
        for client in clients:
            client.channel.send(Frame(Kind.BYE, 0, messages.to_text(reason)))
        self._loop.close()

    def _stop_listening(self) -> None:
        self._closing.set()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def _samples(work: Int64 | Tokens) -> int:
    return len(work.lengths) if isinstance(work, Tokens) else len(work)


def speeds(ready: Sequence[Ready]) -> tuple[InstanceSpeed, ...]:
    """What a node says of its instances."""
    return tuple(InstanceSpeed(**asdict(one)) for one in ready)


def bind(address: Address) -> socket.socket:
    """A socket that has the address and refuses connections until a server starts with it.

    Raises:
        UsageError: the address cannot be used.
    """
    bound = socket.socket(socket.AF_INET6 if ":" in address.host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        bound.close()
        text = error.strerror or error
        raise UsageError(f"expected to listen at {address}, found: {text}. Type another --port or --host.") from error
    return bound
