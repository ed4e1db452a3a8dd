"""A connection as frames: sending never blocks, and reading takes what has arrived.

What the kernel does not take at once waits in the channel; `loop.Loop` writes it. One lock orders the senders, and
keeps TLS, which runs in memory, to one thread at a time.
"""

from __future__ import annotations

import selectors
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from sut.nodes.errors import NodeError, SilentPeerError
from sut.nodes.frames import Frame, FrameParser, Kind
from sut.nodes.messages import from_text

_PIECE_BYTES = 1 << 16  # read at a time; above 128 KiB glibc would map and clear the pages each time
_RECORD_BYTES = 1 << 14  # of TLS
_MOST_BACKLOG_BYTES = 256 << 20
_GENTLE_S = 0.5  # for a peer to read why its connection ends
_BUFFER_BYTES = 1 << 20  # of the kernel, in each direction


class _Cipher(Protocol):
    def seal(self, data: bytes) -> bytes: ...
    def open(self, data: bytes) -> bytes: ...


class _Plain:
    def seal(self, data: bytes) -> bytes:
        return data

    def open(self, data: bytes) -> bytes:
        return data


class _Tls:
    """TLS between bytes and bytes."""

    def __init__(self, context: ssl.SSLContext, host: str | None) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=host is None, server_hostname=host)

    def shake(self, data: bytes) -> tuple[bool, bytes]:
        """(whether the handshake is complete, bytes to send), after these bytes came. Raises ssl.SSLError."""
        self._incoming.write(data)
        try:
            self._tls.do_handshake()
            return True, self._outgoing.read()
        except ssl.SSLWantReadError:
            return False, self._outgoing.read()

    def alert(self) -> bytes:
        """What is left to send after an error: the alert that says why."""
        return self._outgoing.read()

    def seal(self, data: bytes) -> bytes:
        self._tls.write(data)
        return self._outgoing.read()

    def open(self, data: bytes) -> bytes:
        self._incoming.write(data)
        pieces: list[bytes] = []
        with suppress(ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            while piece := self._tls.read(_RECORD_BYTES):
                pieces.append(piece)
        return b"".join(pieces)


class Channel:
    """One connection. `receive` is called by one thread at a time; `send` and `close` by any."""

    def __init__(self, connection: socket.socket, allowed: frozenset[Kind]) -> None:
        connection.setblocking(False)
        with suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                connection.setsockopt(socket.SOL_SOCKET, option, _BUFFER_BYTES)
        self.connection = connection
        self.parser = FrameParser(allowed)
        self.on_backlog: Callable[[], None] = lambda: None
        self._cipher: _Cipher = _Plain()
        self._lock = threading.Lock()
        self._backlog = bytearray()
        self._read_ahead: list[Frame] = []
        self._has_spoken = False

    @property
    def has_backlog(self) -> bool:
        return bool(self._backlog)

    def send(self, frame: Frame) -> None:
        """Send a frame, at once or as soon as the peer takes it. Errors of the connection show when it is read."""
        data = frame.encode()
        with self._lock:
            data = self._cipher.seal(data)
            waited = bool(self._backlog)
            if not waited:
                data = data[self._write_now(data) :]
            self._backlog += data
            if len(self._backlog) > _MOST_BACKLOG_BYTES:
                self._give_up()
        if data and not waited:
            self.on_backlog()

    def _give_up(self) -> None:
        """The peer does not read: what is left to send would fill the memory."""
        self._backlog.clear()
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def flush(self) -> None:
        """Write what waits, as far as the kernel takes it."""
        with self._lock:
            self._flush()

    def _flush(self) -> None:
        del self._backlog[: self._write_now(self._backlog)]

    def _write_now(self, data: bytes | bytearray) -> int:
        """How many of these bytes were taken; all of a connection that broke, since the reader says why."""
        try:
            return self.connection.send(data) if data else 0
        except BlockingIOError:
            return 0
        except OSError:
            return len(data)

    def receive(self) -> list[Frame]:
        """The frames that have arrived, after one read.

        Raises:
            ProtocolError: what arrived is not the protocol.
            NodeError: the connection has ended.
        """
        return self.parser.feed(self._open(self._read()))

    def _read(self) -> bytes:
        try:
            data = self.connection.recv(_PIECE_BYTES)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise NodeError(f"the connection broke: {error.strerror or error}") from error
        if not data:
            kind = NodeError if self._has_spoken else SilentPeerError
            raise kind("the peer closed the connection")
        self._has_spoken = True
        return data

    def _open(self, data: bytes) -> bytes:
        try:
            with self._lock:
                return self._cipher.open(data)
        except ssl.SSLError as error:
            raise NodeError(f"TLS failed: {_reason(error)}") from error

    def start_tls(self, context: ssl.SSLContext, host: str | None, until_s: float) -> None:
        """Encrypt from now on; blocks. `host`: the node's, whose certificate must be for it; None: this is the node.

        Raises:
            NodeError: the certificates do not satisfy both sides, or it took too long.
        """
        tls, data = _Tls(context, host), b""
        while True:
            try:
                is_done, reply = tls.shake(data)
            except ssl.SSLError as error:
                self._write(tls.alert())
                self._end_gently()
                raise NodeError(f"TLS failed: {_reason(error)}") from error
            self._write(reply)
            if is_done:
                self._cipher = tls
                self._read_ahead = self.parser.feed(self._open(b""))  # came with the last of the handshake
                return
            self._wait(until_s)
            try:
                data = self._read()
            except NodeError as error:
                if host is None and isinstance(error, SilentPeerError):
                    raise
                raise NodeError(f"TLS failed: {error}") from error

    def _end_gently(self) -> None:
        """Let the peer read why: the kernel would drop it if bytes of the peer's were still to be read."""
        with suppress(OSError, NodeError):
            self.connection.shutdown(socket.SHUT_WR)
            until_s = time.monotonic() + _GENTLE_S
            while self._has_bytes(until_s):
                self._read()
                if time.monotonic() > until_s:
                    return

    def _write(self, data: bytes) -> None:
        with self._lock:
            self._backlog += data
            self._flush()

    def wait_for(self, kind: Kind, until_s: float) -> Frame:
        """The next frame, which must be of this kind; for a handshake, since it blocks.

        Raises:
            NodeError: it is another, the peer says what is wrong, or it did not come in time.
        """
        while not self._read_ahead:
            self._wait(until_s)
            self._read_ahead = self.receive()
        frame = self._read_ahead.pop(0)
        if frame.kind is kind:
            return frame
        said = from_text(frame.payload) if frame.kind in (Kind.ERROR, Kind.BYE) else f"{frame.kind.name} in its place"
        raise NodeError(said if frame.kind in (Kind.ERROR, Kind.BYE) else f"expected {kind.name}, found {said}")

    def _wait(self, until_s: float) -> None:
        self.flush()
        if not self._has_bytes(until_s):
            raise NodeError("it is connected and does not answer")

    def _has_bytes(self, until_s: float) -> bool:
        """Whether there is something to read until then, the end included."""
        left_s = until_s - time.monotonic()
        with selectors.DefaultSelector() as selector:
            selector.register(self.connection, selectors.EVENT_READ)
            return left_s > 0 and bool(selector.select(left_s))

    def take_read_ahead(self) -> list[Frame]:
        """Frames that came with the last one of the handshake."""
        found, self._read_ahead = self._read_ahead, []
        return found

    def close(self) -> None:
        """End the connection; who waits for it is woken."""
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
        self.connection.close()


def _reason(error: ssl.SSLError) -> str:
    """OpenSSL's reason without its place in the source."""
    verify = getattr(error, "verify_message", None)
    return str(verify or (error.reason or str(error)).replace("_", " ").lower())
