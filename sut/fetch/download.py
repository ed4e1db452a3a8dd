"""One file from its mirrors: attempts with growing pauses at each, and nothing under its name before it is verified.

A side file is continued across attempts, mirrors and commands. Where the whole then has another hash than was stated,
a file made of several pieces is fetched once more in one; one that came in one piece is the mirror's fault.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from sut.errors import FetchError
from sut.fetch import checksum, http, publisher, store
from sut.fetch.catalogue import Source
from sut.fetch.checksum import Checksum
from sut.fetch.partial_file import Side
from sut.fetch.progress_bar import Display
from sut.fetch.publisher import Stated
from sut.fetch.store import Pin

T = TypeVar("T")


@dataclass(frozen=True)
class Means:
    """What downloads share."""

    via: http.Session
    policy: http.Policy
    display: Display


def download(means: Means, source: Source, target: Path, pin: Pin | None) -> Pin:
    """Bring `source` to `target`.

    Args:
        pin: what an earlier fetch found.

    Raises:
        FetchError: no mirror gave the right file; it says why each did not.
    """
    wanted = expected(means, source, pin)
    aside, refusals = Side.of(target), []
    for url in source.mirrors:
        means.display.say(f"  from {url}" + (f", continuing at {aside.size:,} bytes" if aside.size else ""))
        try:
            found = _from_mirror(means, url, aside, wanted, target.name)
        except http.RefusedError as refusal:
            refusals.append(f"\n  {url}\n    found {refusal}")
            means.display.say(f"  found {refusal}")
            continue
        store.put(aside.path, target)
        aside.clear()
        return verified(target, found, str(source.checksum or wanted.checksum), url)
    raise FetchError(_despair(target.name, wanted, refusals, aside, pin))


def expected(means: Means, source: Source, pin: Pin | None) -> Stated:
    """What the file must be: as `known`, else as the publisher says."""
    wanted = known(source, pin)
    if wanted != Stated(source.bytes, source.checksum):
        return wanted
    if source.record and None in (source.bytes, source.checksum):
        try:
            said = persist(means, source.record[1], lambda: publisher.ask(means.via, source, means.policy))
            return Stated(source.bytes or said.bytes, source.checksum or said.checksum)
        except http.RefusedError as refusal:
            if source.checksum is None:
                raise FetchError(
                    f"expected the checksum of {source.mirrors[0]} from {source.record[1]}, found {refusal}. "
                    "Nothing unverified is kept: try again later, or bring a bundle (--unbundle FILE)."
                ) from refusal
    return wanted


def known(source: Source, pin: Pin | None) -> Stated:
    """What the file must be without asking anybody: as pinned, or as a changed catalogue says."""
    if pin and (source.checksum is None or str(source.checksum) == pin.stated):
        return Stated(pin.bytes, Checksum("sha256", pin.sha256))
    return Stated(source.bytes, source.checksum)


def persist(means: Means, url: str, step: Callable[[], T], have: Callable[[], int] = lambda: 0) -> T:
    """`step`, again and again while it asks for it; `have` says how far it has come."""
    best, idle = have(), 0
    for _ in range(means.policy.most_attempts):
        try:
            return step()
        except http.LaterError as error:
            idle = 1 if have() > best else idle + 1
            best = max(best, have())
            if idle >= means.policy.attempts:
                raise http.RefusedError(f"{error}, {idle} times in a row") from error
            pause_s = _pause_s(means.policy, idle, error.pause_s)
            means.display.say(f"  found {error}; again in {pause_s:.3g} s, from byte {have():,}")
            time.sleep(pause_s)
    raise http.RefusedError(f"a connection that broke {means.policy.most_attempts} times")


def _pause_s(policy: http.Policy, idle: int, asked_s: float | None) -> float:
    own_s = policy.first_pause_s * 2 ** (idle - 1)
    return min(own_s if asked_s is None else asked_s, policy.longest_pause_s)


def _from_mirror(means: Means, url: str, aside: Side, wanted: Stated, name: str) -> dict[str, str]:
    """The side file's digits by kind, when they are the right ones."""
    attempts, once_more = 0, aside.size > 0

    def attempt() -> dict[str, str]:
        nonlocal attempts, once_more
        attempts += 1
        if wanted.bytes is not None and aside.size > wanted.bytes:
            aside.clear()
        if wanted.bytes is None or aside.size < wanted.bytes or not aside.path.is_file():
            means.display.begin(name, aside.size, wanted.bytes)
            http.transfer(means.via, url, aside, wanted.bytes, means.policy, means.display.at)
        size = aside.size
        fault, found = check(means.display, aside.path, wanted, name)
        if not fault:
            return found
        aside.clear()
        if attempts > 1 or once_more:
            attempts, once_more = 0, False
            raise http.LaterError(f"{fault} in {size:,} bytes that came in pieces; starting anew", 0)
        raise http.RefusedError(fault)

    return persist(means, url, attempt, lambda: aside.size)


def check(display: Display, path: Path, wanted: Stated, name: str) -> tuple[str, dict[str, str]]:
    """(what is wrong with the file, or nothing; its digits by kind)."""
    size = path.stat().st_size
    if wanted.bytes is not None and size != wanted.bytes:
        return f"a file of {size:,} bytes, expected {wanted.bytes:,}", {}
    if wanted.checksum is None:
        return "no checksum to verify it with: fetch once with a network, or bring a bundle", {}
    display.begin(f"checking {name}", 0, size)
    found = checksum.of_file(path, {"sha256", wanted.checksum.kind}, lambda done: display.at(done, size))
    if found[wanted.checksum.kind] == wanted.checksum.digits:
        return "", found
    return f"checksum {wanted.checksum.kind}:{found[wanted.checksum.kind]}, expected {wanted.checksum}", found


def verified(path: Path, digits: dict[str, str], stated: str, origin: str) -> Pin:
    found = path.stat()
    return Pin(found.st_size, digits["sha256"], found.st_mtime_ns, stated, origin, store.now())


def _despair(name: str, wanted: Stated, refusals: list[str], aside: Side, pin: Pin | None) -> str:
    size = f", {wanted.bytes:,} bytes" if wanted.bytes is not None else ""
    pinned = (
        f"\nIt was pinned on {pin.verified}; should its publisher have changed it, remove it from pins.json."
        if pin
        else ""
    )
    kept = f" The {aside.size:,} bytes that came are kept: the same command continues." if aside.size else ""
    return (
        f"expected {name} ({wanted.checksum}{size}), found it at no mirror:{''.join(refusals)}{pinned}\n"
        f"Type the same again later; behind a proxy set https_proxy; or bring the file yourself with --from FILE.{kept}"
    )
