"""Downloads one file from its mirrors, with retries and growing pauses; it gets its name only after verification.

A partial file is continued across attempts, mirrors and commands. If the complete file has a wrong checksum and came in
several parts, it is downloaded once more in one; if it came in one part, the mirror is refused.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from foundation.foreign_text import without_secrets
from sut.errors import FetchError
from sut.fetch import checksum, http, publisher, store
from sut.fetch.catalogue import Source
from sut.fetch.checksum import Checksum
from sut.fetch.partial_file import PartialFile
from sut.fetch.progress_bar import Display
from sut.fetch.publisher import ExpectedFile
from sut.fetch.store import Pin

T = TypeVar("T")
_WITHOUT_NETWORK = 2  # attempts at a server that cannot be reached, until a byte of the file has come


@dataclass(frozen=True)
class DownloadContext:
    """What all downloads of a command share."""

    session: http.Session
    policy: http.RetryPolicy
    display: Display


def download(context: DownloadContext, source: Source, target: Path, pin: Pin | None) -> Pin:
    """Download `source` to `target`.

    Args:
        pin: of an earlier fetch of the file.

    Raises:
        FetchError: no mirror has the right file; the message says why for each.
    """
    expected = expected_file(context, source, pin)
    partial, refusals = PartialFile.of(target), []
    for url in source.mirrors:
        context.display.say(f"  from {url}" + (f", continuing at {partial.size:,} bytes" if partial.size else ""))
        try:
            found = _from_mirror(context, url, partial, expected, target.name)
        except http.UrlRefusedError as refusal:
            refusals.append(f"\n  {url}\n    found {refusal}")
            context.display.say(f"  found {refusal}")
            continue
        store.put(partial.path, target)
        partial.clear()
        return make_pin(target, found, str(source.checksum or expected.checksum), without_secrets(url))
    raise FetchError(_failure_message(target.name, expected, refusals, partial, pin))


def expected_file(context: DownloadContext, source: Source, pin: Pin | None) -> ExpectedFile:
    """The expected size and checksum: of `known_file`, else asked of the publisher."""
    expected = known_file(source, pin)
    if expected != ExpectedFile(source.bytes, source.checksum):
        return expected
    if source.record and None in (source.bytes, source.checksum):
        try:
            published = retry(context, source.record[1], lambda: publisher.ask(context.session, source, context.policy))
            return ExpectedFile(source.bytes or published.bytes, source.checksum or published.checksum)
        except http.UrlRefusedError as refusal:
            if source.checksum is None:
                raise FetchError(
                    f"expected the checksum of {source.mirrors[0]} from {source.record[1]}, found {refusal}. "
                    "Try again later, or use a bundle: --unbundle FILE. Files that cannot be verified are not kept."
                ) from refusal
    return expected


def known_file(source: Source, pin: Pin | None) -> ExpectedFile:
    """The expected size and checksum without the network: of the pin, or of the catalogue if that was changed."""
    if pin and (source.checksum is None or str(source.checksum) == pin.stated):
        return ExpectedFile(pin.bytes, Checksum("sha256", pin.sha256))
    return ExpectedFile(source.bytes, source.checksum)


def retry(context: DownloadContext, url: str, step: Callable[[], T], have: Callable[[], int] = lambda: 0) -> T:
    """Repeat `step` while it raises RetryLaterError and `have`, its number of bytes, grows often enough."""
    first = best = have()
    idle = 0
    for _ in range(context.policy.most_attempts):
        try:
            return step()
        except http.RetryLaterError as error:
            idle = 1 if have() > best else idle + 1
            best = max(best, have())
            no_network = error.no_network and best == first  # not a network that fails in the middle of a file
            if idle >= (min(_WITHOUT_NETWORK, context.policy.attempts) if no_network else context.policy.attempts):
                why = ": is there a network here?" if no_network else ""
                raise http.UrlRefusedError(f"{error}, {idle} times in a row{why}") from error
            pause_s = _pause_s(context.policy, idle, error.pause_s)
            context.display.say(f"  found {error}; retrying in {pause_s:.3g} s from byte {have():,}")
            time.sleep(pause_s)
    raise http.UrlRefusedError(f"a connection that broke {context.policy.most_attempts} times")


def _pause_s(policy: http.RetryPolicy, idle: int, asked_s: float | None) -> float:
    own_s = policy.first_pause_s * 2 ** (idle - 1)
    return min(own_s if asked_s is None else asked_s, policy.longest_pause_s)


def _from_mirror(
    context: DownloadContext, url: str, partial: PartialFile, expected: ExpectedFile, name: str
) -> dict[str, str]:
    """Complete the partial file from one mirror; returns its digits by kind. Raises UrlRefusedError."""
    attempts, once_more = 0, partial.size > 0

    def attempt() -> dict[str, str]:
        nonlocal attempts, once_more
        attempts += 1
        if expected.bytes is not None and partial.size > expected.bytes:
            partial.clear()
        if expected.bytes is None or partial.size < expected.bytes or not partial.path.is_file():
            context.display.begin(name, partial.size, expected.bytes)
            http.transfer(context.session, url, partial, expected.bytes, context.policy, context.display.at)
        size = partial.size
        fault, found = check(context.display, partial.path, expected, name)
        if not fault:
            return found
        partial.clear()
        if attempts > 1 or once_more:
            attempts, once_more = 0, False
            raise http.RetryLaterError(f"{fault} in {size:,} bytes that came in several parts; starting again", 0)
        raise http.UrlRefusedError(fault)

    return retry(context, url, attempt, lambda: partial.size)


def check(display: Display, path: Path, expected: ExpectedFile, name: str) -> tuple[str, dict[str, str]]:
    """Verify a file: (the fault, or ""; its digits by kind)."""
    size = path.stat().st_size
    if expected.bytes is not None and size != expected.bytes:
        return f"a file of {size:,} bytes, expected {expected.bytes:,}", {}
    if expected.checksum is None:
        return "no checksum to verify it: fetch it once with a network, or use a bundle", {}
    display.begin(f"checking {name}", 0, size)
    found = checksum.of_file(path, {"sha256", expected.checksum.kind}, lambda done: display.at(done, size))
    if found[expected.checksum.kind] == expected.checksum.digits:
        return "", found
    return f"checksum {expected.checksum.kind}:{found[expected.checksum.kind]}, expected {expected.checksum}", found


def make_pin(path: Path, digits: dict[str, str], stated: str, origin: str) -> Pin:
    """The pin of a file that was just verified."""
    found = path.stat()
    return Pin(
        bytes=found.st_size,
        sha256=digits["sha256"],
        mtime_ns=found.st_mtime_ns,
        stated=stated,
        origin=origin,
        verified=store.now(),
    )


def _failure_message(
    name: str, expected: ExpectedFile, refusals: list[str], partial: PartialFile, pin: Pin | None
) -> str:
    size = f", {expected.bytes:,} bytes" if expected.bytes is not None else ""
    pinned = f"\nIt was pinned on {pin.verified}. If its publisher changed it, remove it from pins.json." if pin else ""
    kept = f" The {partial.size:,} bytes that came are kept; the same command continues." if partial.size else ""
    return (
        f"expected {name} ({expected.checksum}{size}), found it on none of the mirrors:{''.join(refusals)}{pinned}\n"
        f"Type the same command later, set https_proxy if you are behind a proxy, or add --from FILE.{kept}"
    )
