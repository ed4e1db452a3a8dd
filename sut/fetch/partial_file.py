"""A file on its way: the bytes that have come, and what its server called the version that they are of.

Both lie beside the file's own place, so that any later command can continue them.
"""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sut.errors import FetchError
from sut.fetch import store


@dataclass(frozen=True)
class Side:
    """A file on its way, and what the server called the version that it is of."""

    path: Path

    @classmethod
    def of(cls, target: Path) -> Side:
        return cls(store.side(target))

    @property
    def _notes(self) -> Path:
        return self.path.with_name(self.path.name + ".json")

    @property
    def size(self) -> int:
        with suppress(OSError):
            return self.path.stat().st_size
        return 0

    def validator(self, url: str) -> str | None:
        with suppress(OSError, ValueError, AttributeError):
            found = json.loads(self._notes.read_bytes()).get(url)
            return found if isinstance(found, str) else None
        return None

    def note(self, url: str, validator: str | None) -> None:
        store.write_aside(self._notes, {url: validator})

    def clear(self) -> None:
        self.path.unlink(missing_ok=True)
        self._notes.unlink(missing_ok=True)

    def check_room(self, needed: int) -> None:
        """Raise FetchError before the first byte, where the disk could not take the last."""
        free = shutil.disk_usage(self.path.parent).free
        if needed > free:
            raise FetchError(
                f"expected {needed:,} bytes of room for {self.path}, found {free:,} free. Make room, or name another "
                "place with --cache-dir DIR."
            )
