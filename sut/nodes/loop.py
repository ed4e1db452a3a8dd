"""One thread that reads and writes all connections of a process, and counts time.

Everything that arrives is handled in this thread, so its callers need no locks among themselves.
"""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from sut.nodes.channel import Channel
from sut.nodes.errors import NodeError
from sut.nodes.frames import Frame

_TICK_S = 0.1
_END_S = 2.0


@dataclass(frozen=True, eq=False)
class _User:
    channel: Channel
    on_frame: Callable[[Frame], None]
    on_end: Callable[[str], None]


class Loop:
    """Start it once; `add` and `drop` may be called from any thread."""

    def __init__(self, name: str, on_tick: Callable[[], None], on_defect: Callable[[Exception], None]) -> None:
        """`on_tick` is called about ten times a second; `on_defect` when this thread ends by an error of ours."""
        self._on_tick, self._on_defect = on_tick, on_defect
        self._selector = selectors.DefaultSelector()
        self._woken, self._wake = socket.socketpair()
        for end in (self._woken, self._wake):
            end.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._new: list[_User] = []
        self._waiting: deque[Channel] = deque()  # something waits to be written
        self._tick_s = 0.0
        self._users: dict[Channel, _User] = {}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def add(self, channel: Channel, on_frame: Callable[[Frame], None], on_end: Callable[[str], None]) -> None:
        """Serve a connection. `on_end` is called once when it ends by itself, with the reason; not after `drop`."""
        channel.on_backlog = partial(self._blocked, channel)
        self._new.append(_User(channel, on_frame, on_end))
        self.wake()
        if self._closing.is_set():
            channel.close()

    def drop(self, channel: Channel) -> None:
        """Close a connection; in this thread nothing more of it is handled."""
        if user := self._users.pop(channel, None):
            with suppress(KeyError, ValueError):
                self._selector.unregister(user.channel.connection)
        channel.close()

    def _blocked(self, channel: Channel) -> None:
        self._waiting.append(channel)
        self.wake()

    def wake(self) -> None:
        """Let the thread look at what waits."""
        with suppress(OSError):
            self._wake.send(b"\0")

    def close(self) -> None:
        """End the thread, and all connections with it."""
        self._closing.set()
        self.wake()
        if self._thread.ident and self._thread is not threading.current_thread():
            self._thread.join(_END_S)
        if not self._thread.is_alive():
            self._release()

    def _release(self) -> None:
        for channel in [*self._users, *(user.channel for user in self._new)]:
            channel.flush()
            channel.close()
        self._users.clear()
        self._new.clear()
        self._selector.close()
        for end in (self._woken, self._wake):
            end.close()

    def _run(self) -> None:
        try:
            while not self._closing.is_set():
                self._step()
        except Exception as error:  # noqa: BLE001 - without this thread nothing is answered
            self._on_defect(error)

    def _step(self) -> None:
        for key, events in self._selector.select(_TICK_S):
            if key.data is None:
                with suppress(OSError):
                    self._woken.recv(4096)
            elif key.data.channel in self._users:
                self._serve(key.data, events)
        while self._new:
            self._register(self._new.pop(0))
        while self._waiting:
            self._watch(self._waiting.popleft(), selectors.EVENT_READ | selectors.EVENT_WRITE)
        if time.monotonic() - self._tick_s >= _TICK_S:
            self._tick_s = time.monotonic()
            self._on_tick()

    def _register(self, user: _User) -> None:
        self._users[user.channel] = user
        try:
            self._selector.register(user.channel.connection, selectors.EVENT_READ, user)
        except (OSError, ValueError) as error:
            self._end(user, str(error))
            return
        self._handle(user, user.channel.take_read_ahead)
        if user.channel.has_backlog:
            self._watch(user.channel, selectors.EVENT_READ | selectors.EVENT_WRITE)

    def _watch(self, channel: Channel, events: int) -> None:
        if user := self._users.get(channel):
            with suppress(KeyError, ValueError):
                self._selector.modify(channel.connection, events, user)

    def _serve(self, user: _User, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            user.channel.flush()
            if not user.channel.has_backlog:
                self._watch(user.channel, selectors.EVENT_READ)
        if events & selectors.EVENT_READ:
            self._handle(user, user.channel.receive)

    def _handle(self, user: _User, read: Callable[[], list[Frame]]) -> None:
        try:
            for frame in read():
                user.on_frame(frame)
                if user.channel not in self._users:  # dropped by what it said
                    return
        except NodeError as error:
            self._end(user, str(error))

    def _end(self, user: _User, reason: str) -> None:
        if user.channel in self._users:
            self.drop(user.channel)
            user.on_end(reason)
