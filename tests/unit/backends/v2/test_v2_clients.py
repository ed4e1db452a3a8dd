"""The HTTP client against a server that answers anything: nonsense, half of it, or drop by drop."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import numpy as np
import pytest
from damage import DAMAGES, Damage
from hypothesis import given, settings

from backends.access import NO_ACCESS, Access
from backends.errors import BackendError
from backends.v2 import address, http_forms
from backends.v2.http_client import HttpClient
from backends.v2.messages import InferRequest, InferResponse
from backends.v2.tensors import Tensor

REQUEST = InferRequest((Tensor("input_ids", "INT64", np.array([[5, 6]])),), ("logits",))
GOOD = InferResponse("bert", "1", (Tensor("logits", "FP32", np.ones((1, 2), np.float32)),))
Answer = Callable[[socket.socket], None]


def answer(body: bytes, status: str = "200 OK", length: int | None = None, **headers: object) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def good() -> bytes:
    return answer(http_forms.write_response(GOOD).content)


def read_request(connection: socket.socket) -> None:
    """All of it: closing a connection with bytes unread resets it, and the answer may be lost."""
    with connection.makefile("rb") as lines:
        headers = dict(
            line.lower().split(b": ", 1) for line in iter(lambda: lines.readline().strip(), b"") if b": " in line
        )
        lines.read(int(headers.get(b"content-length", 0)))


@contextmanager
def server(*answers: bytes | Answer) -> Iterator[HttpClient]:
    """A client of a server that gives these answers, one to each request; after each of bytes it hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            for one in answers:
                with suppress(OSError), listening.accept()[0] as connection:
                    read_request(connection)
                    one(connection) if callable(one) else connection.sendall(one)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        found = HttpClient(address.parse(f"v2+http://127.0.0.1:{listening.getsockname()[1]}/bert"), NO_ACCESS)
        try:
            yield found
        finally:
            found.close()
            thread.join(10)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "found: Remote end closed connection without response"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "expected a server of KServe v2 .http."),
        (answer(b"{}"), "found: expected a message of the protocol, found .*outputs"),
        (answer(b"<html>"), "found: expected JSON"),
        (answer(b"{}", length=99), "ends 97 bytes early"),
        (answer(b'{"outputs": []}', Inference_Header_Content_Length="x"), "invalid literal"),
        (answer(b'{"outputs": []}', Inference_Header_Content_Length=99), "of up to 15"),
        (answer(b'{"error": "out of\\nmemory"}', "500 Broken"), "HTTP 500: out of memory"),
        (answer(b"\x1b[2J", "502 Bad Gateway"), r"HTTP 502: \\x1b\[2J"),
        (answer(b'{"outputs": [{"name": "logits", "datatype": "FP32", "shape": [1, 2], "data": [1]}]}'),
         "expected 2 values in 'logits', found 1"),
    ],
)  # fmt: skip
def test_what_is_no_answer_is_one_line(content: bytes, words: str) -> None:
    with server(content) as found, pytest.raises(BackendError, match=words) as raised:
        found.begin(REQUEST, 20.0).answers()
    assert "\n" not in str(raised.value) and "\x1b" not in str(raised.value)


def test_drops_do_not_pass_the_deadline() -> None:
    def drip(connection: socket.socket) -> None:
        connection.sendall(answer(b"", length=1000))
        for _ in range(200):
            connection.sendall(b" ")
            time.sleep(0.01)

    with server(drip) as found, pytest.raises(BackendError, match=r"within 0\.1 s, found none"):
        found.begin(REQUEST, 0.1).answers()


def test_a_connection_that_was_closed_meanwhile_is_opened_again() -> None:
    with server(good(), good()) as found:
        for _ in range(2):
            pending = found.begin(REQUEST, 20.0)
            while not pending.is_ready():
                pass
            assert pending.answers().outputs[0].array.tolist() == [[1, 1]]
            time.sleep(0.01)


@settings(max_examples=40, derandomize=True, database=None)
@given(damage=DAMAGES)
def test_a_damaged_answer_is_read_or_refused(damage: Damage) -> None:
    with server(damage.of(good())) as found, suppress(BackendError):
        found.begin(REQUEST, 5.0).answers()


def test_a_token_that_no_header_can_carry_is_refused() -> None:
    with pytest.raises(BackendError, match="printable ASCII in --token-file"):
        HttpClient(address.parse("v2+http://127.0.0.1:1/bert"), Access("line\nfeed"))
