"""Files that a node needs: it has them by their path, or has got them before, or gets them; checked by their hash."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from foundation import atomic_write
from foundation.arrays import UInt8
from qsl.feature_cache import DEFAULT_CACHE_DIR
from sut.errors import UsageError

_STORE = "shipped"  # in the cache directory of a node


@dataclass(frozen=True)
class FileSet:
    """Files in one directory, or a file and those next to it that belong to it."""

    base: Path
    names: tuple[str, ...]
    target: str  # the file that is named; "": the directory itself
    digest: str

    @classmethod
    def of(cls, path: Path, files: Sequence[Path]) -> FileSet:
        """The files of a model or an engine at `path`."""
        base, target = (path, "") if path.is_dir() else (path.parent, path.name)
        names = tuple(sorted(str(one.relative_to(base)) for one in files))
        return cls(base, names, target, _digest(base, names))

    @property
    def paths(self) -> list[Path]:
        return [self.base / name for name in self.names]

    @property
    def _stored(self) -> Path:
        return DEFAULT_CACHE_DIR.expanduser() / _STORE / self.digest[:32]

    def find(self) -> Path | None:
        """The path on this machine, if the files are there and the same."""
        for base in (self.base, self._stored):
            if self._is_at(base):
                return base / self.target
        return None

    def _is_at(self, base: Path) -> bool:
        try:
            return _digest(base, self.names) == self.digest
        except OSError:
            return False

    def store(self, contents: Sequence[UInt8]) -> Path:
        """Write the files, in the order of their names; returns the path on this machine.

        Raises:
            UsageError: they cannot be written, or are not what they should be.
        """
        try:
            with atomic_write.replacing_directory(self._stored, self._is_at) as directory:
                for name, content in zip(self.names, contents, strict=True):
                    path = directory / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(content.data)
        except OSError as error:
            raise UsageError(
                f"expected to write the model to {self._stored}, found: {error}. Free disk space."
            ) from error
        if found := self.find():
            return found
        raise UsageError(f"expected the model's files in {self._stored}, found others. Run again.")


def _digest(base: Path, names: Sequence[str]) -> str:
    sha = hashlib.sha256()
    for name in names:
        with (base / name).open("rb") as file:
            sha.update(f"{name}\0".encode() + hashlib.file_digest(file, "sha256").digest())
    return sha.hexdigest()
