"""Every fault of a server ends in the right file or none, and in a message with the URL, the fault and what to type."""

from __future__ import annotations

import hashlib
import random
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from bad_server import Act, Server, catalogue, serving
from hypothesis import given, settings
from hypothesis import strategies as st

from foundation.bounded_readers import SETTINGS_BYTES
from sut.commands import fetch as commands_fetch
from sut.errors import FetchError

CONTENT = random.Random(5).randbytes(300_000)
PAGE = b"<!DOCTYPE html><html><head><title>Please log in</title></head></html>"
DROP = Act(stop_after=100_000)


def fetch(folder: Path, text: str, *flags: str) -> Path:
    """Fetch "thing" with this catalogue; returns its path."""
    (folder / "assets.toml").write_text(text, encoding="utf-8")
    quick = ("--pause-s", "0.005", "--timeout-s", "0.5", "--attempts", "3")
    places = ("--catalogue", str(folder / "assets.toml"), "--cache-dir", str(folder / "cache"))
    assert commands_fetch.main(["thing", *places, *quick, *flags]) == 0
    return folder / "cache" / "assets" / "thing" / "model.bin"


def assert_whole(path: Path, content: bytes = CONTENT) -> None:
    assert path.read_bytes() == content
    assert [left.name for left in path.parent.iterdir()] == [path.name]


def assert_refused(folder: Path, text: str, *words: str) -> str:
    with pytest.raises(FetchError) as raised:
        fetch(folder, text)
    for word in words:
        assert word in str(raised.value)
    assert not (folder / "cache" / "assets" / "thing" / "model.bin").exists()
    return str(raised.value)


RECOVERED: dict[str, tuple[Act, ...]] = {
    "503 then well": (Act(503), Act()),
    "500, 502, 504 in turn with progress between": (Act(500), DROP, Act(502), DROP, Act(504), Act()),
    "429 with Retry-After": (Act(429, headers=(("Retry-After", "0"),)), Act()),
    "429 with a date": (Act(429, headers=(("Retry-After", "Wed, 21 Oct 2015 07:28:00 GMT"),)), Act()),
    "429 with an absurd Retry-After": (Act(429, headers=(("Retry-After", "86400"),)), Act()),
    "429 with digits that are none": (Act(429, headers=(("Retry-After", "²"),)), Act()),
    "429 with a number of 5,000 digits": (Act(429, headers=(("Retry-After", "9" * 5_000),)), Act()),
    "429 with a broken date": (Act(429, headers=(("Retry-After", "Wed, 99 Oct 99999 99:99:99 GMT"),)), Act()),
    "Content-Range of 5,000 digits": (DROP, Act(206, content_range=f"bytes 100000-9/{'9' * 5_000}", body=b"x"), Act()),
    "a head that drips": (Act(head=b"HTTP/1.1 200 OK\r\nX: " + b"x" * 99, pause_s=0.1), Act()),
    "interim responses for ever": (Act(head=b"HTTP/1.1 100 Continue\r\n\r\n" * 99, pause_s=0.01), Act()),
    "ranges ignored": (DROP, Act(ranges=False)),
    "etag changed, If-Range understood": (DROP, Act(etag='"two"')),
    "etag changed, If-Range ignored": (
        Act(stop_after=100_000, body=bytes(300_000)),
        Act(206, etag='"two"', content_range="bytes 100000-299999/300000", body=CONTENT[100_000:]),
        Act(),
    ),
    "Content-Range of another place": (DROP, Act(206, content_range="bytes 5-9/300000", body=b"abcde"), Act()),
    "Content-Range that is none": (DROP, Act(206, content_range="nonsense", body=CONTENT[100_000:]), Act()),
    "Content-Range of another size": (DROP, Act(206, content_range="bytes 100000-9/10", body=b"x"), Act()),
    "Content-Length of 5,000 digits": (Act(headers=(("Content-Length", "9" * 5_000),)), Act()),
    "no Content-Length": (Act(chunked=True),),
    "no Content-Length, dropped": (Act(chunked=True, stop_after=100_000), Act(chunked=True)),
    "no validator": (Act(stop_after=100_000, etag=None), Act(etag=None)),
    "silent for too long": (Act(pause_s=0.8, piece=250_000), Act()),
    "wrong bytes in what was continued": (Act(stop_after=100_000, body=bytes(300_000)), Act(), Act()),
    "dropped before the headers": (Act(stop_after=0), Act()),
}


@pytest.mark.parametrize("script", RECOVERED.values(), ids=RECOVERED)
def test_faults_that_pass_leave_the_right_file(tmp_path: Path, script: tuple[Act, ...]) -> None:
    with serving(CONTENT, *script) as server:
        assert_whole(fetch(tmp_path, catalogue(CONTENT, server.url)))


REFUSED: dict[str, tuple[Act, tuple[str, ...]]] = {
    "404": (Act(404), ("HTTP 404",)),
    "403": (Act(403), ("HTTP 403",)),
    "503 for ever": (Act(503), ("HTTP 503", "3 times in a row")),
    "429 for ever": (Act(429), ("HTTP 429", "3 times in a row")),
    "an HTML page": (Act(body=PAGE, headers=(("Content-Type", "text/html"),)), ("HTML", "Please log in")),
    "an HTML page that says it is binary": (Act(body=PAGE), ("HTML", "Please log in")),
    "wrong bytes": (Act(body=bytes(300_000)), ("checksum sha256:" + hashlib.sha256(bytes(300_000)).hexdigest(),)),
    "too short a file": (Act(body=CONTENT[:-1]), ("299,999 bytes, expected 300,000",)),
    "too long a file": (Act(body=CONTENT + b"x"), ("300,001 bytes, expected 300,000",)),
    "too long, without a length": (Act(body=CONTENT + b"x", chunked=True), ("more than the 300,000",)),
    "an empty file": (Act(body=b""), ("0 bytes, expected 300,000",)),
    "a redirect loop": (Act(302, headers=(("Location", "/model.bin"),)), ("redirects",)),
    "a redirect to no URL": (Act(302, headers=(("Location", "http://[::1/x"),)), ("Invalid",)),
    "a redirect to bytes": (Act(302, headers=(("Location", "http://\xff\xfe/"),)), ("found",)),
    "a reason with escapes": (Act(404, reason="\x1b[2J"), ("HTTP 404",)),
    "a redirect to nowhere": (Act(302, headers=(("Location", "gopher://x/"),)), ("gopher",)),
    "an endless trickle": (Act(pause_s=0.05, piece=10), ("too slow", "kept")),
    "never an answer's end": (Act(stop_after=100, ranges=False), ("closed with 299,900 bytes missing", "3 times")),
}


@pytest.mark.parametrize(("act", "words"), REFUSED.values(), ids=REFUSED)
def test_faults_that_stay_leave_no_file_and_give_the_reason(tmp_path: Path, act: Act, words: tuple[str, ...]) -> None:
    with serving(CONTENT, act) as server:
        assert_refused(tmp_path, catalogue(CONTENT, server.url), server.url, "--from FILE", *words)


@pytest.mark.parametrize(("act", "words"), REFUSED.values(), ids=REFUSED)
def test_the_next_mirror_is_used(tmp_path: Path, act: Act, words: tuple[str, ...]) -> None:
    with serving(CONTENT, act) as bad, serving(CONTENT) as good:
        assert_whole(fetch(tmp_path, catalogue(CONTENT, bad.url, good.url)))


def test_a_server_that_does_not_answer(tmp_path: Path) -> None:
    with serving(CONTENT) as gone:
        pass
    assert_refused(tmp_path, catalogue(CONTENT, gone.url), gone.url, "refused")


def test_without_a_network_a_mirror_is_soon_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    text = catalogue(CONTENT, "http://publisher.invalid/model.bin")
    assert_refused(tmp_path, text, "Temporary failure in name resolution", "2 times in a row: is there a network here?")


def test_a_password_in_a_mirrors_url_is_nowhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(CONTENT, Act(503), Act()) as server:
        url = server.url.replace("://", "://me:hush@") + "?token=hush"
        path = fetch(tmp_path, catalogue(CONTENT, url))
    printed = capsys.readouterr()
    assert "hush" not in printed.out + printed.err + (path.parents[1] / "pins.json").read_text()
    assert server.asked[0][2]["Authorization"]


@pytest.mark.parametrize("offset", (1, 511, 65_536, 65_537, 150_000, 299_999))
def test_a_dropped_connection_is_resumed_at_its_byte(tmp_path: Path, offset: int) -> None:
    with serving(CONTENT, Act(stop_after=offset), Act()) as server:
        assert_whole(fetch(tmp_path, catalogue(CONTENT, server.url)))
        assert server.sent == len(CONTENT)
        assert server.asked[1][2]["Range"] == f"bytes={offset}-"
        assert server.asked[1][2]["If-Range"] == '"one"'


@settings(max_examples=20)
@given(st.lists(st.tuples(st.integers(0, 300_000), st.booleans()), max_size=5))
def test_any_drops_in_any_order(drops: list[tuple[int, bool]]) -> None:
    script = [Act(stop_after=after, ranges=ranges) for after, ranges in drops]
    with tempfile.TemporaryDirectory() as folder, serving(CONTENT, *script, Act()) as server:
        assert_whole(fetch(Path(folder), catalogue(CONTENT, server.url), "--attempts", "9"))


def test_redirects_are_followed(tmp_path: Path) -> None:
    with serving(CONTENT, Act(302, headers=(("Location", "/store"),)), Act()) as server:
        assert_whole(fetch(tmp_path, catalogue(CONTENT, server.url)))
        assert [path for _, path, _ in server.asked] == ["/model.bin", "/store"]


def test_a_proxy_of_the_environment_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(CONTENT) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.removesuffix("/model.bin"))
        monkeypatch.setenv("no_proxy", "")
        assert_whole(fetch(tmp_path, catalogue(CONTENT, "http://publisher.invalid/model.bin")))
        assert proxy.asked[0][1] == "http://publisher.invalid/model.bin"


def test_a_partial_file_is_continued_by_the_next_command(tmp_path: Path) -> None:
    with serving(CONTENT, DROP, Act(404, body=b""), Act()) as server:
        assert "100,000 bytes that came are kept" in assert_refused(tmp_path, catalogue(CONTENT, server.url))
        assert_whole(fetch(tmp_path, catalogue(CONTENT, server.url)))
        assert server.sent == len(CONTENT)


def zenodo(server: Server) -> str:
    digest = hashlib.md5(server.content).hexdigest()
    server.script += [Act(body=f'{{"files": [{{"key": "model.bin", "size": 300000, "checksum": "md5:{digest}"}}]}}'.encode()), Act()]  # fmt: skip  # noqa: E501
    return "zenodo"


def hugging_face(server: Server) -> str:
    etag = f'"{hashlib.sha256(server.content).hexdigest()}"'
    linked = (("X-Linked-Etag", etag), ("X-Linked-Size", "300000"), ("Location", "http://store.invalid/"))
    server.script += [Act(307, headers=(("Location", "/elsewhere"),)), Act(302, headers=linked, body=b""), Act()]
    return "huggingface"


def hugging_face_small(server: Server) -> str:
    server.script += [Act(etag='"' + hashlib.sha1(b"blob 300000\0" + server.content).hexdigest() + '"')]
    return "huggingface"


@pytest.mark.parametrize("publisher", (zenodo, hugging_face, hugging_face_small))
def test_a_publishers_hash_is_pinned(tmp_path: Path, publisher: Callable[[Server], str]) -> None:
    with serving(CONTENT) as server:
        text = catalogue(
            CONTENT, server.url, checksum="", size=None, extra=f'record = "{publisher(server)}:{server.url}"'
        )
        path = fetch(tmp_path, text)
        assert_whole(path)
        path.unlink()
        server.script[:], server.asked[:] = [Act(body=bytes(300_000))], []
        assert_refused(tmp_path, text, "It was pinned on", "pins.json")
        assert [verb for verb, _, _ in server.asked] == ["GET"]  # the publisher is not asked again


def record(size: str, checksum: str = f'"md5:{"0" * 32}"') -> bytes:
    return f'{{"files": [{{"key": "model.bin", "size": {size}, "checksum": {checksum}}}]}}'.encode()


RECORDS = (
    b"{}",
    b"no json",
    b"[" * 9_999,
    b" " * (SETTINGS_BYTES + 1),
    *map(record, ("1e400", "-1", "null", "9" * 5_000)),
)


@pytest.mark.parametrize(
    "act",
    (Act(404), Act(body=PAGE), Act(body=record("1", "5")), *(Act(body=body) for body in RECORDS)),
    ids=lambda act: repr(act)[:60],
)
def test_files_without_any_hash_are_not_kept(tmp_path: Path, act: Act) -> None:
    with serving(CONTENT, act) as server:
        text = catalogue(CONTENT, server.url, checksum="", size=None, extra=f'record = "zenodo:{server.url}"')
        assert_refused(tmp_path, text, "expected the checksum of", server.url)
        assert len(server.asked) == 1
