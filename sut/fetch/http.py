"""One response of a server, streamed to a partial file; the only module that uses HTTP.

Retries are the caller's: `RetryLaterError` means that the URL may work later and that the bytes so far are kept,
`UrlRefusedError` that it will not work. Redirects, proxies and ~/.netrc are handled by `requests`.
"""

from __future__ import annotations

import errno
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from urllib3.exceptions import HTTPError, IncompleteRead, NameResolutionError

from foundation.bounded_readers import SETTINGS_BYTES, UnreadableError, parse_json
from sut.fetch.partial_file import PartialFile
from sut.fetch.store import disk_error

_CHUNK_BYTES = 1 << 18
_NO_ROUTE = (errno.ENETUNREACH, errno.EHOSTUNREACH)
_LATER = (408, 425, 429, 500, 502, 503, 504)
_NUMBER = "[0-9]{1,18}"
_RANGE = re.compile(rf"bytes (?:({_NUMBER})-({_NUMBER})|\*)/({_NUMBER}|\*)$")
_PAGE = re.compile(rb"\s*<(?:!doctype html|html|head|body)\b", re.IGNORECASE)
_TITLE = re.compile(rb"<title[^>]*>\s*(.{1,80}?)\s*</title>", re.IGNORECASE | re.DOTALL)


class RetryLaterError(Exception):
    """This attempt failed, the next may succeed.

    `pause_s`: requested by the server; 0 to retry at once. `no_network`: no server was reached.
    """

    def __init__(self, found: str, pause_s: float | None = None, *, no_network: bool = False) -> None:
        super().__init__(found)
        self.pause_s, self.no_network = pause_s, no_network


class UrlRefusedError(Exception):
    """This URL will not serve the file; do not retry."""


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """When a download is retried, and when it is given up."""

    attempts: int = 6  # in a row without new bytes
    most_attempts: int = 200  # at one mirror, with or without new bytes
    first_pause_s: float = 1.0  # doubled after each attempt
    longest_pause_s: float = 60.0  # also the limit for a server's Retry-After
    timeout_s: float = 60.0  # for a response, redirects included, and between two parts of a body
    slowest_bytes_per_s: float = 1000.0  # over `slow_after_s`
    slow_after_s: float = 60.0


Session = requests.Session
OnBytes = Callable[[int, int | None], None]  # (bytes so far, bytes in total or None)


class _Session(requests.Session):
    def get_redirect_target(self, response: requests.Response) -> str | None:
        """As of `requests`, which leaves the connection open where the header is not text."""
        try:
            return super().get_redirect_target(response)
        except ValueError:
            response.close()
            raise


def new_session() -> Session:
    """A session that keeps connections open; proxies come from the environment."""
    made = _Session()
    made.headers.update({"User-Agent": "mlperf-bert-sut", "Accept-Encoding": "identity"})
    made.max_redirects = 10
    return made


def transfer(
    session: Session, url: str, partial: PartialFile, size: int | None, policy: RetryPolicy, on_bytes: OnBytes
) -> None:
    """Download `url` from the end of the partial file on.

    Args:
        size: of the complete file, if known.

    Raises:
        RetryLaterError, UrlRefusedError: as described in the module's docstring.
        FetchError: the file cannot be written.
    """
    have = partial.size
    with _request(session, "GET", url, policy, _range(partial, url, have)) as response:
        if response.status_code == 416 and _is_all(response, have):
            return
        pieces = _pieces(response, policy)
        head = next(pieces, b"")
        _check_page(response, head, is_start=response.status_code != 206)
        start, total = _start_and_total(response, partial, url, have, size)
        partial.check_room((total or 0) - start)
        if start == 0:
            partial.note(url, _validator(response))
        end = _write(partial, start, total, head, pieces, on_bytes)
    if total is not None and end < total:
        raise RetryLaterError(f"the connection closed after {end:,} of {total:,} bytes")


def get_json(session: Session, url: str, policy: RetryPolicy) -> Any:
    """A JSON document. Raises RetryLaterError, UrlRefusedError."""
    with _request(session, "GET", url, policy, {}) as response:
        body = b""
        for piece in _pieces(response, policy):
            body += piece
            if len(body) > SETTINGS_BYTES:
                raise UrlRefusedError(f"a record of more than {SETTINGS_BYTES:,} bytes")
        _check_page(response, body, is_start=True)
        try:
            return parse_json(body)
        except UnreadableError as error:
            raise UrlRefusedError(str(error)) from error


def head(session: Session, url: str, policy: RetryPolicy) -> dict[str, str]:
    """The headers of the first response that is not a redirect within the same host, by lower-case name.

    The publisher's own response has the file's hash; that of the storage host to which it redirects has not.
    """
    for _ in range(session.max_redirects):
        with _request(session, "HEAD", url, policy, {}, follow=False) as response:
            try:
                onward = urljoin(url, response.headers.get("Location", url))
                elsewhere = urlsplit(onward).netloc != urlsplit(url).netloc
            except ValueError as error:
                raise UrlRefusedError(f"a redirect to no URL ({error})") from error
            if not response.is_redirect or elsewhere or "x-linked-etag" in response.headers:
                return {name.lower(): value for name, value in response.headers.items()}
            url = onward
    raise UrlRefusedError(f"more than {session.max_redirects} redirects")


@contextmanager
def _request(
    session: Session, verb: str, url: str, policy: RetryPolicy, headers: dict[str, str], follow: bool = True
) -> Iterator[requests.Response]:
    def ask() -> requests.Response:
        try:
            return session.request(
                verb, url, headers=headers, stream=True, timeout=policy.timeout_s, allow_redirects=follow
            )
        except ValueError as error:  # of a redirect: urllib and the codecs raise it as it is
            raise requests.exceptions.InvalidURL(str(error)) from error

    try:
        with _within(policy.timeout_s, ask) as response:
            _check_status(response)
            yield response
    except (requests.ConnectionError, requests.Timeout, HTTPError) as error:
        if isinstance(error, requests.exceptions.SSLError):
            raise UrlRefusedError(f"a connection that is not trusted: {_brief(error)}") from error
        raise RetryLaterError(_brief(error), no_network=_is_no_network(error)) from error
    except requests.RequestException as error:
        raise UrlRefusedError(_brief(error)) from error


def _within(limit_s: float, ask: Callable[[], requests.Response]) -> requests.Response:
    """The response of `ask`, if it comes in time.

    The timeouts of a socket begin again with each byte, so a server may send a head, or interim responses, for ever:
    the request has a thread of its own, which is left behind then.
    """
    answers: SimpleQueue[requests.Response | BaseException] = SimpleQueue()

    def run() -> None:
        try:
            answers.put(ask())
        except BaseException as error:  # noqa: BLE001 - raised by the thread that waits
            answers.put(error)

    Thread(target=run, daemon=True).start()
    try:
        answer = answers.get(timeout=limit_s)
    except Empty:
        raise requests.Timeout(f"no response within {limit_s:g} s") from None
    if isinstance(answer, BaseException):
        raise answer
    return answer


def _is_no_network(error: BaseException | None) -> bool:
    """Whether a host name could not be resolved, or no route leads to it."""
    while error is not None:
        if isinstance(error, NameResolutionError) or getattr(error, "errno", None) in _NO_ROUTE:
            return True
        error = _inner(error) or error.__cause__ or error.__context__
    return False


def _check_status(response: requests.Response) -> None:
    status = f"HTTP {response.status_code} {response.reason}"
    if response.status_code in _LATER:
        raise RetryLaterError(status, _retry_after_s(response.headers.get("Retry-After", "")))
    if response.status_code >= 400 and response.status_code != 416:
        raise UrlRefusedError(status)


def _retry_after_s(text: str) -> float | None:
    """Seconds from now; the header is a number of seconds or a date."""
    seconds = whole_number(text.strip())
    if seconds is not None:
        return float(seconds)
    with suppress(ValueError, TypeError, OverflowError, IndexError):
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    return None


def whole_number(text: str) -> int | None:
    """A number in a header; None if it is none, or has more digits than a size can have."""
    return int(text) if re.fullmatch(_NUMBER, text) else None


def _range(partial: PartialFile, url: str, have: int) -> dict[str, str]:
    if not have:
        return {}
    validator = partial.validator(url)
    return {"Range": f"bytes={have}-", **({"If-Range": validator} if validator else {})}


def _validator(response: requests.Response) -> str | None:
    """The value for If-Range: a strong ETag, else the date."""
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else response.headers.get("Last-Modified")


def _is_all(response: requests.Response, have: int) -> bool:
    """Whether the range was refused because the partial file is already complete."""
    found = _RANGE.match(response.headers.get("Content-Range", ""))
    return bool(have and found and found[3] == str(have))


def _start_and_total(
    response: requests.Response, partial: PartialFile, url: str, have: int, size: int | None
) -> tuple[int, int | None]:
    """(offset of the response's first byte in the file, size of the file)."""
    if response.status_code in (206, 416):
        return have, _checked_range(response, partial, url, have, size)
    length = whole_number(response.headers.get("Content-Length", ""))
    total = size if length is None else length
    if size is not None and total != size:
        raise UrlRefusedError(f"a file of {total:,} bytes, expected {size:,}")
    return 0, total


def _checked_range(
    response: requests.Response, partial: PartialFile, url: str, have: int, size: int | None
) -> int | None:
    stated = response.headers.get("Content-Range", "")
    found = _RANGE.match(stated)
    total = int(found[3]) if found and found[3] != "*" else size
    before, after = partial.validator(url), _validator(response)
    if not found or found[1] != str(have) or (size is not None and total != size):
        partial.clear()
        raise RetryLaterError(f"Content-Range {stated!r} for a request of bytes={have}-; starting again", 0)
    if before and after and before != after:
        partial.clear()
        raise RetryLaterError(f"a new version of the file ({after}, was {before}); starting again", 0)
    return total


def _check_page(response: requests.Response, head: bytes, is_start: bool) -> None:
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind in ("text/html", "application/xhtml+xml") or (is_start and _PAGE.match(head)):
        title = _TITLE.search(head)
        named = f", titled {title[1].decode('utf-8', 'replace')!r}" if title else ""
        raise UrlRefusedError(f"a web page (HTML{named}) instead of the file: a login, an error or a proxy's notice")


def _pieces(response: requests.Response, policy: RetryPolicy) -> Iterator[bytes]:
    """The body as it arrives: bytes are passed on at once, so that a dropped connection loses none."""
    since_s, came = time.monotonic(), 0
    while piece := response.raw.read1(_CHUNK_BYTES, decode_content=False):
        yield piece
        came += len(piece)
        passed_s = time.monotonic() - since_s
        if passed_s >= policy.slow_after_s:
            if came < policy.slowest_bytes_per_s * passed_s:
                raise UrlRefusedError(f"a body that is too slow: {came:,} bytes in {passed_s:.0f} s")
            since_s, came = time.monotonic(), 0


def _write(
    partial: PartialFile, start: int, total: int | None, head: bytes, pieces: Iterator[bytes], on_bytes: OnBytes
) -> int:
    """Append to the partial file; returns its new size."""
    at, piece = start, head
    try:
        with partial.path.open("ab" if start else "wb", buffering=0) as file:
            while piece:
                if total is not None and at + len(piece) > total:
                    raise UrlRefusedError(f"more than the {total:,} bytes that were expected")
                view = memoryview(piece)
                while view:  # a full disk may write only a part
                    view = view[file.write(view) :]
                at += len(piece)
                on_bytes(at, total)
                piece = next(pieces, b"")
    except OSError as error:  # of the disk: urllib3 wraps errors of the network
        raise disk_error(partial.path, error) from error
    return at


def _brief(error: BaseException) -> str:
    """The text of the innermost error of a chain."""
    while True:
        if isinstance(error, IncompleteRead):
            return f"a connection that closed with {error.expected:,} bytes missing"
        inner = _inner(error)
        if inner is None:
            return str(error) or type(error).__name__
        error = inner


def _inner(error: BaseException) -> BaseException | None:
    found = (one for one in (*error.args, getattr(error, "reason", None)) if isinstance(one, BaseException))
    return next(found, None)
