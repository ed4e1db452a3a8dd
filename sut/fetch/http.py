"""One answer of one server, streamed to a side file; the only module that speaks HTTP.

It never decides what happens next. `LaterError`: the same url may do better in a while, and what has come is kept.
`RefusedError`: it will not, whatever is tried. Redirects, proxies and ~/.netrc are `requests`' own.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from urllib3.exceptions import HTTPError, IncompleteRead

from sut.fetch.partial_file import Side
from sut.fetch.store import disk_error

_CHUNK_BYTES = 1 << 18
_LATER = (408, 425, 429, 500, 502, 503, 504)
_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)$")
_PAGE = re.compile(rb"\s*<(?:!doctype html|html|head|body)\b", re.IGNORECASE)
_TITLE = re.compile(rb"<title[^>]*>\s*(.{1,80}?)\s*</title>", re.IGNORECASE | re.DOTALL)


class LaterError(Exception):
    """This attempt ended; the next one may not. `pause_s`: what the server asks for, 0 for at once."""

    def __init__(self, found: str, pause_s: float | None = None) -> None:
        super().__init__(found)
        self.pause_s = pause_s


class RefusedError(Exception):
    """Nothing more is to be had from this url."""


@dataclass(frozen=True)
class Policy:
    """How patient a download is."""

    attempts: int = 6  # in a row that bring nothing new
    most_attempts: int = 200  # at one mirror, whatever they bring
    first_pause_s: float = 1.0  # doubled each time
    longest_pause_s: float = 60.0  # and the most that a server's Retry-After may ask for
    timeout_s: float = 60.0  # for a connection, and between two pieces of a file
    slowest_bytes_per_s: float = 1000.0  # over `slow_after_s`
    slow_after_s: float = 60.0


Session = requests.Session
OnBytes = Callable[[int, int | None], None]  # how many bytes are there, of how many


def session() -> Session:
    """Connections that are kept; proxies are those of the environment."""
    made = requests.Session()
    made.headers.update({"User-Agent": "mlperf-bert-sut", "Accept-Encoding": "identity"})
    made.max_redirects = 10
    return made


def transfer(via: Session, url: str, aside: Side, size: int | None, policy: Policy, on_bytes: OnBytes) -> None:
    """Bring `url` to its end, from where the side file stops.

    Args:
        size: of the whole file, where it is known.

    Raises:
        LaterError, RefusedError: see above.
        FetchError: the disk did not take it.
    """
    have = aside.size
    with _answer(via, "GET", url, policy, _range(aside, url, have)) as answer:
        if answer.status_code == 416 and _is_all(answer, have):
            return
        pieces = _pieces(answer, policy)
        head = next(pieces, b"")
        _check_page(answer, head, is_start=answer.status_code != 206)
        start, total = _place(answer, aside, url, have, size)
        aside.check_room((total or 0) - start)
        if start == 0:
            aside.note(url, _validator(answer))
        end = _write(aside, start, total, head, pieces, on_bytes)
    if total is not None and end < total:
        raise LaterError(f"the connection closed after {end:,} of {total:,} bytes")


def get_json(via: Session, url: str, policy: Policy) -> Any:
    with _answer(via, "GET", url, policy, {}) as answer:
        body = b"".join(_pieces(answer, policy))
        _check_page(answer, body, is_start=True)
        try:
            return json.loads(body)
        except ValueError as error:
            raise RefusedError(f"no JSON ({error})") from error


def head(via: Session, url: str, policy: Policy) -> dict[str, str]:
    """The headers of the first answer that is not a redirect within the same host, by lower-case name.

    A publisher states a file's hash itself; the store that it redirects to does not.
    """
    for _ in range(via.max_redirects):
        with _answer(via, "HEAD", url, policy, {}, follow=False) as answer:
            onward = urljoin(url, answer.headers.get("Location", url))
            elsewhere = urlsplit(onward).netloc != urlsplit(url).netloc
            if not answer.is_redirect or elsewhere or "x-linked-etag" in answer.headers:
                return {name.lower(): value for name, value in answer.headers.items()}
            url = onward
    raise RefusedError(f"more than {via.max_redirects} redirects")


@contextmanager
def _answer(
    via: Session, verb: str, url: str, policy: Policy, headers: dict[str, str], follow: bool = True
) -> Iterator[requests.Response]:
    try:
        with via.request(
            verb, url, headers=headers, stream=True, timeout=policy.timeout_s, allow_redirects=follow
        ) as answer:
            _check_status(answer)
            yield answer
    except (requests.ConnectionError, requests.Timeout, HTTPError) as error:
        if isinstance(error, requests.exceptions.SSLError):
            raise RefusedError(f"no trusted connection: {_brief(error)}") from error
        raise LaterError(_brief(error)) from error
    except requests.RequestException as error:
        raise RefusedError(_brief(error)) from error


def _check_status(answer: requests.Response) -> None:
    said = f"HTTP {answer.status_code} {answer.reason}"
    if answer.status_code in _LATER:
        raise LaterError(said, _retry_after_s(answer.headers.get("Retry-After", "")))
    if answer.status_code >= 400 and answer.status_code != 416:
        raise RefusedError(said)


def _retry_after_s(text: str) -> float | None:
    """Seconds, or a date."""
    if text.strip().isdigit():
        return float(text)
    with suppress(ValueError, TypeError):
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    return None


def _range(aside: Side, url: str, have: int) -> dict[str, str]:
    if not have:
        return {}
    validator = aside.validator(url)
    return {"Range": f"bytes={have}-", **({"If-Range": validator} if validator else {})}


def _validator(answer: requests.Response) -> str | None:
    """What If-Range may hold: an ETag that is no weak one, else the date."""
    etag = answer.headers.get("ETag", "")
    return etag if etag.startswith('"') else answer.headers.get("Last-Modified")


def _is_all(answer: requests.Response, have: int) -> bool:
    """True when a range beyond the end was asked for because nothing is missing."""
    found = _RANGE.match(answer.headers.get("Content-Range", ""))
    return bool(have and found and found[3] == str(have))


def _place(answer: requests.Response, aside: Side, url: str, have: int, size: int | None) -> tuple[int, int | None]:
    """Where the answer's first byte belongs, and how long the file is."""
    if answer.status_code in (206, 416):
        return have, _checked_range(answer, aside, url, have, size)
    length = answer.headers.get("Content-Length", "")
    total = int(length) if length.isdigit() else size
    if size is not None and total != size:
        raise RefusedError(f"a file of {total:,} bytes, expected {size:,}")
    return 0, total


def _checked_range(answer: requests.Response, aside: Side, url: str, have: int, size: int | None) -> int | None:
    stated = answer.headers.get("Content-Range", "")
    found = _RANGE.match(stated)
    total = int(found[3]) if found and found[3] != "*" else size
    before, after = aside.validator(url), _validator(answer)
    if not found or found[1] != str(have) or (size is not None and total != size):
        aside.clear()
        raise LaterError(f"Content-Range {stated!r} to a request for bytes={have}-; starting anew", 0)
    if before and after and before != after:
        aside.clear()
        raise LaterError(f"another version of the file than before ({after}, was {before}); starting anew", 0)
    return total


def _check_page(answer: requests.Response, head: bytes, is_start: bool) -> None:
    kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind in ("text/html", "application/xhtml+xml") or (is_start and _PAGE.match(head)):
        title = _TITLE.search(head)
        named = f", titled {title[1].decode('utf-8', 'replace')!r}" if title else ""
        raise RefusedError(f"a web page (HTML{named}) in place of the file: a login, an error or a proxy's notice")


def _pieces(answer: requests.Response, policy: Policy) -> Iterator[bytes]:
    """The body as it comes: what is there is given at once, so that a dropped connection loses nothing."""
    since_s, came = time.monotonic(), 0
    while piece := answer.raw.read1(_CHUNK_BYTES, decode_content=False):
        yield piece
        came += len(piece)
        passed_s = time.monotonic() - since_s
        if passed_s >= policy.slow_after_s:
            if came < policy.slowest_bytes_per_s * passed_s:
                raise RefusedError(f"a body that trickles: {came:,} bytes in {passed_s:.0f} s")
            since_s, came = time.monotonic(), 0


def _write(aside: Side, start: int, total: int | None, head: bytes, pieces: Iterator[bytes], on_bytes: OnBytes) -> int:
    """Append to the side file; where it then ends."""
    at, piece = start, head
    try:
        with aside.path.open("ab" if start else "wb", buffering=0) as file:
            while piece:
                if total is not None and at + len(piece) > total:
                    raise RefusedError(f"more than the {total:,} bytes that were expected")
                view = memoryview(piece)
                while view:  # a full disk may take a part
                    view = view[file.write(view) :]
                at += len(piece)
                on_bytes(at, total)
                piece = next(pieces, b"")
    except OSError as error:  # the disk's: urllib3 wraps the network's
        raise disk_error(aside.path, error) from error
    return at


def _brief(error: BaseException) -> str:
    """What lies at the bottom of an error of errors."""
    while True:
        if isinstance(error, IncompleteRead):
            return f"a connection that closed with {error.expected:,} bytes to come"
        inner = [one for one in (*error.args, getattr(error, "reason", None)) if isinstance(one, BaseException)]
        if not inner:
            return str(error) or type(error).__name__
        error = inner[0]
