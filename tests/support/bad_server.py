"""A real HTTP server on loopback that misbehaves by script: each request takes the next `Act`; the last one stays."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Act:
    """How one request is answered; the defaults are those of a good server."""

    status: int = 200
    reason: str | None = None
    body: bytes | None = None  # None: the server's content
    stop_after: int | None = None  # bytes of the body, then the connection is dropped
    ranges: bool = True
    content_range: str | None = None
    etag: str | None = '"one"'
    length: int | None = None  # what Content-Length says instead
    chunked: bool = False
    headers: tuple[tuple[str, str], ...] = ()
    pause_s: float = 0.0  # between pieces of `piece` bytes
    piece: int = 1 << 16
    head: bytes = b""  # sent, byte by byte, instead of a response


@dataclass
class Server:
    """What is served, by which script, and what was asked."""

    content: bytes
    script: list[Act] = field(default_factory=list)
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)  # verb, path, headers
    sent: int = 0  # bytes of bodies
    url: str = ""

    def act(self) -> Act:
        if len(self.script) > 1:
            return self.script.pop(0)
        return self.script[0] if self.script else Act()


@contextmanager
def serving(content: bytes, *script: Act) -> Iterator[Server]:
    state = Server(content, list(script))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            with suppress(ConnectionError):
                _answer(self, state)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_port}/model.bin"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _answer(handler: BaseHTTPRequestHandler, state: Server) -> None:
    state.asked.append((handler.command, handler.path, dict(handler.headers)))
    act = state.act()
    if act.head:
        for byte in act.head:
            handler.wfile.write(bytes([byte]))
            time.sleep(act.pause_s)
    status, body, start = act.status, state.content if act.body is None else act.body, 0
    requested = re.match(r"bytes=(\d+)-", handler.headers.get("Range", ""))
    same = handler.headers.get("If-Range", act.etag) == act.etag
    headers = dict(act.headers)
    if requested and act.ranges and same and status == 200:
        start, total = int(requested[1]), len(body)
        status = 206 if start < total else 416
        headers["Content-Range"] = f"bytes {start}-{total - 1}/{total}" if start < total else f"bytes */{total}"
        body = body[start:]
    if act.content_range and status == 206:
        headers["Content-Range"] = act.content_range
    if act.etag:
        headers.setdefault("ETag", act.etag)
    headers |= {"Transfer-Encoding": "chunked"} if act.chunked else {"Content-Length": str(act.length or len(body))}
    headers |= dict(act.headers)
    handler.send_response(status, act.reason)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.end_headers()
    if handler.command == "GET":
        _send(handler, state, act, body)


def _send(handler: BaseHTTPRequestHandler, state: Server, act: Act, body: bytes) -> None:
    end = len(body) if act.stop_after is None else min(act.stop_after, len(body))
    for at in range(0, end, act.piece):
        piece = body[at : min(at + act.piece, end)]
        handler.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if act.chunked else piece)
        handler.wfile.flush()
        state.sent += len(piece)
        time.sleep(act.pause_s)
    if act.stop_after is not None or (act.length or len(body)) != len(body):
        handler.close_connection = True
    elif act.chunked:
        handler.wfile.write(b"0\r\n\r\n")


def catalogue(content: bytes, *urls: str, checksum: str | None = None, size: int | None = -1, extra: str = "") -> str:
    """TOML of one asset, "thing", whose one file is `content`."""
    stated = f'checksum = "{checksum or "sha256:" + hashlib.sha256(content).hexdigest()}"' if checksum != "" else ""
    length = "" if size is None else f"bytes = {len(content) if size == -1 else size}"
    mirrors = ", ".join(f'"{url}"' for url in urls)
    return f"""
[asset.thing]
title = "a thing"
licence = "none"
flags = {{ model = "model.bin" }}
files = {{ "model.bin" = "thing" }}
[file.thing]
mirrors = [{mirrors}]
{length}
{stated}
{extra}
"""
