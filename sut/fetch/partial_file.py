"""An incomplete download: the bytes so far, and the validator (ETag or date) of the version that they belong to.

Both are next to the final file, so that a later command can continue.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from foundation.bounded_readers import SETTINGS_BYTES, read_json
from sut.errors import FetchError
from sut.fetch import store


@dataclass(frozen=True)
class PartialFile:
    """An incomplete download at `path`, with the validators of its version."""

    path: Path

    @classmethod
    def of(cls, target: Path) -> PartialFile:
        return cls(store.partial_path(target))

    @property
    def _notes(self) -> Path:
        return self.path.with_name(self.path.name + ".json")

    @property
    def size(self) -> int:
        with suppress(OSError):
            return self.path.stat().st_size
        return 0

    def validator(self, url: str) -> str | None:
        with suppress(ValueError, AttributeError):
            found = read_json(self._notes, SETTINGS_BYTES).get(url)
            return found if isinstance(found, str) else None
        return None

    def note(self, url: str, validator: str | None) -> None:
        store.write_json(self._notes, {url: validator})

    def clear(self) -> None:
        self.path.unlink(missing_ok=True)
        self._notes.unlink(missing_ok=True)

    def check_room(self, needed: int) -> None:
        """Raise FetchError if the disk has no space for `needed` more bytes."""
        free = shutil.disk_usage(self.path.parent).free
        if needed > free:
            raise FetchError(
                f"expected {needed:,} bytes of disk space for {self.path}, found {free:,}. Free some space, or type "
                "--cache-dir DIR for another directory."
            )
