"""The cache of fetched files: their paths, their pins, and a lock for each asset.

Files are `<cache>/assets/<asset>/<file>`; `pins.json` next to them has each file's size, sha256 and time of
verification. A pin is kept when its file is removed, so that a later change by the publisher is noticed. Locks are the
kernel's (flock): it releases them when their holder exits or is killed.
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

from foundation import atomic_write
from foundation.bounded_readers import SETTINGS_BYTES, UnreadableError, read_json
from foundation.typed_json import decode
from sut.errors import FetchError, UsageError
from sut.fetch.catalogue import Asset

PARTIAL_SUFFIX = ".part"  # suffix of an incomplete file


@dataclass(frozen=True, kw_only=True)
class Pin:
    """The state of a file when it was last verified."""

    bytes: int
    sha256: str
    mtime_ns: int  # differs from the file's if it was modified since
    stated: str  # the publisher's checksum that it was verified against
    origin: str  # url or path
    verified: str  # UTC


@dataclass(frozen=True)
class AssetCache:
    """The directory of all assets."""

    root: Path

    def path(self, asset: Asset, file: str) -> Path:
        return self.root / asset.name / file

    def pins(self) -> dict[str, Pin]:
        """Pins by "asset/file". Unreadable ones are ignored: their files are verified again."""
        with suppress(UnreadableError):
            return decode(dict[str, Pin], read_json(self.root / "pins.json", SETTINGS_BYTES))
        return {}

    def pin(self, asset: Asset, file: str) -> Pin | None:
        return self.pins().get(f"{asset.name}/{file}")

    def keep(self, asset: Asset, file: str, pin: Pin) -> None:
        """Store a pin."""
        with self._locked(self.root / "pins.lock", lambda holder: None):
            pins = {**self.pins(), f"{asset.name}/{file}": pin}
            write_json(self.root / "pins.json", {key: asdict(one) for key, one in sorted(pins.items())})

    def is_verified(self, asset: Asset, file: str) -> bool:
        """Whether the file exists and is, by size and time, the one that was verified."""
        pin, stated = self.pin(asset, file), asset.files[file].checksum
        if pin is None or (stated and str(stated) != pin.stated):
            return False
        with suppress(OSError):
            found = self.path(asset, file).stat()
            return (found.st_size, found.st_mtime_ns) == (pin.bytes, pin.mtime_ns)
        return False

    def is_complete(self, asset: Asset) -> bool:
        """Whether all its files are there and verified; False too for the cache of another user."""
        with suppress(PermissionError):
            unpacked = all(self.path(asset, path).is_file() for path in asset.unpack.values())
            return unpacked and all(self.is_verified(asset, file) for file in asset.files)
        return False

    @contextmanager
    def locked(self, asset: Asset, waits: Callable[[str], None]) -> Iterator[None]:
        """Lock an asset; `waits` is called with the holder's process id if it is locked. Raises UsageError."""
        try:
            for path in (asset.name, *(f"{asset.name}/{file}" for file in (*asset.files, *asset.unpack.values()))):
                (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._refused(error) from error
        with self._locked(self.root / f"{asset.name}.lock", waits):
            yield

    def _refused(self, error: OSError) -> UsageError:
        return UsageError(
            f"expected to read and write the assets below {self.root}, found: {error.strerror}. Type: --cache-dir DIR."
        )

    @contextmanager
    def _locked(self, path: Path, waits: Callable[[str], None]) -> Iterator[None]:
        try:
            lock = path.open("a+b", buffering=0)
        except OSError as error:
            raise self._refused(error) from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waits(path.read_text("utf-8", "replace") or "unknown")
                fcntl.flock(lock, fcntl.LOCK_EX)
            lock.truncate(0)
            with suppress(OSError):  # a full disk: only the message to those who wait needs the id
                lock.write(str(os.getpid()).encode())
            yield


def now() -> str:
    """The time in UTC, to the second, as ISO 8601 has it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def partial_path(path: Path) -> Path:
    """Where `path` is written while it is incomplete."""
    return path.with_name(path.name + PARTIAL_SUFFIX)


def put(temporary: Path, path: Path) -> None:
    """Rename into place, durably: after a power failure there is the complete file or none."""
    try:
        for location, step in ((temporary, lambda: temporary.replace(path)), (path.parent, lambda: None)):
            descriptor = os.open(location, os.O_RDONLY)
            try:
                os.fsync(descriptor)
                step()
            finally:
                os.close(descriptor)
    except OSError as error:
        raise disk_error(path, error) from error


def write_json(path: Path, data: Any) -> None:
    """Write JSON, the old file or the new one. Raises FetchError."""
    try:
        atomic_write.write_text(path, json.dumps(data, indent=1) + "\n")
    except OSError as error:
        raise disk_error(path, error) from error


def disk_error(path: Path, error: OSError) -> FetchError:
    """The error of a failed write: the partial file is kept and continued later."""
    return FetchError(
        f"expected to write {path}, found: {error.strerror or error}. The bytes so far are kept. Free some space "
        "and type the same command again, or type --cache-dir DIR for another directory."
    )
