"""Where fetched files lie, what was verified of them, and who is at work on them.

`<cache>/assets/<asset>/<file>`, and beside them `pins.json`: for each file its size, sha256 and the time it was last
verified. A pin outlives its file, so that what a publisher changes later is noticed. Locks are the kernel's (flock):
one whose holder was killed is free at once.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sut.errors import FetchError, UsageError
from sut.fetch.catalogue import Asset

SIDE = ".part"  # what a file is called while it is on its way


@dataclass(frozen=True)
class Pin:
    """What was found when a file was last verified."""

    bytes: int
    sha256: str
    mtime_ns: int  # of the file then; another one now: it was touched since
    stated: str  # the publisher's checksum that it met
    origin: str  # url or path
    verified: str  # UTC


@dataclass(frozen=True)
class Shelf:
    """The directory of all assets."""

    root: Path

    def path(self, asset: Asset, file: str) -> Path:
        return self.root / asset.name / file

    def pins(self) -> dict[str, Pin]:
        """By "asset/file". One that cannot be read counts for nothing: its files are verified anew."""
        with suppress(OSError, ValueError, TypeError, AttributeError):
            return {key: Pin(**pin) for key, pin in json.loads((self.root / "pins.json").read_bytes()).items()}
        return {}

    def pin(self, asset: Asset, file: str) -> Pin | None:
        return self.pins().get(f"{asset.name}/{file}")

    def keep(self, asset: Asset, file: str, pin: Pin) -> None:
        """Write a pin down."""
        with self._locked(self.root / "pins.lock", lambda holder: None):
            pins = {**self.pins(), f"{asset.name}/{file}": pin}
            write_aside(self.root / "pins.json", {key: asdict(one) for key, one in sorted(pins.items())})

    def is_verified(self, asset: Asset, file: str) -> bool:
        """True when the file is there and is, by size and time, the one that was verified."""
        pin, stated = self.pin(asset, file), asset.files[file].checksum
        if pin is None or (stated and str(stated) != pin.stated):
            return False
        with suppress(OSError):
            found = self.path(asset, file).stat()
            return (found.st_size, found.st_mtime_ns) == (pin.bytes, pin.mtime_ns)
        return False

    def is_whole(self, asset: Asset) -> bool:
        unpacked = all(self.path(asset, path).is_file() for path in asset.unpack.values())
        return unpacked and all(self.is_verified(asset, file) for file in asset.files)

    @contextmanager
    def locked(self, asset: Asset, waits: Callable[[str], None]) -> Iterator[None]:
        """One at a time; `waits` is told by whom the asset is held."""
        try:
            self.path(asset, "").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"expected to keep {asset.name} below {self.root}, found: {error.strerror}. Try --cache-dir DIR."
            ) from error
        with self._locked(self.root / f"{asset.name}.lock", waits):
            yield

    @contextmanager
    def _locked(self, path: Path, waits: Callable[[str], None]) -> Iterator[None]:
        with path.open("a+b", buffering=0) as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waits(path.read_text("utf-8") or "unknown")
                fcntl.flock(lock, fcntl.LOCK_EX)
            lock.truncate(0)
            with suppress(OSError):  # on a full disk the name of the holder is dispensable
                lock.write(str(os.getpid()).encode())
            yield


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def side(path: Path) -> Path:
    return path.with_name(path.name + SIDE)


def put(aside: Path, path: Path) -> None:
    """Rename into place, durably: after a power cut there is the whole file or none."""
    try:
        for place, step in ((aside, lambda: aside.replace(path)), (path.parent, lambda: None)):
            descriptor = os.open(place, os.O_RDONLY)
            try:
                os.fsync(descriptor)
                step()
            finally:
                os.close(descriptor)
    except OSError as error:
        raise disk_error(path, error) from error


def write_aside(path: Path, data: Any) -> None:
    """JSON, written aside and renamed."""
    aside = side(path)
    try:
        aside.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise disk_error(path, error) from error
    put(aside, path)


def disk_error(path: Path, error: OSError) -> FetchError:
    """For a write that failed: what came so far lies on its side file and is continued from."""
    return FetchError(
        f"expected to write {path}, found: {error.strerror or error}. What has come is kept: make room and type "
        f"the same "
        "again, or name another place with --cache-dir DIR."
    )
