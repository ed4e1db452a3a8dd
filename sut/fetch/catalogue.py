"""configs/assets.toml as frozen dataclasses: what can be fetched by name, from where, and its checksums.

Everything about a publisher is data in that file; for private mirrors, --catalogue names another such file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from foundation.bounded_readers import SETTINGS_BYTES, read_toml
from foundation.suggest import did_you_mean
from sut.errors import UsageError
from sut.fetch import checksum
from sut.fetch.checksum import Checksum

RECORDS = ("zenodo", "huggingface")


@dataclass(frozen=True)
class Source:
    """One file that can be downloaded."""

    mirrors: tuple[str, ...]  # in the order in which they are tried
    bytes: int | None
    checksum: Checksum | None
    record: tuple[str, str] | None  # (kind, url) of the publisher's API that has the missing size or checksum

    @property
    def names(self) -> set[str]:
        """The file's names at its publishers."""
        return {PurePosixPath(urlsplit(url).path).name for url in self.mirrors}


@dataclass(frozen=True, kw_only=True)
class Asset:
    """A model or data set that a user can name."""

    name: str
    title: str
    licence: str
    files: Mapping[str, Source]  # by path in the asset's directory
    flags: Mapping[str, str] = field(default_factory=dict)  # flag, without dashes → path in the directory
    unpack: Mapping[str, str] = field(default_factory=dict)  # member of an archive → path in the directory

    @property
    def bytes(self) -> int | None:
        """The total size; None if a file's size is not known."""
        sizes = [source.bytes for source in self.files.values()]
        return None if None in sizes else sum(size or 0 for size in sizes)


Catalogue = Mapping[str, Asset]


def read(path: Path | None = None) -> Catalogue:
    """The catalogue that ships with the package, or the one in `path`.

    Raises:
        UsageError: it cannot be read, or an entry is wrong (the message names it).
    """
    try:
        data = read_toml(path or Path(str(files("configs") / "assets.toml")), SETTINGS_BYTES)
        sources = {key: _source(key, entry) for key, entry in data.get("file", {}).items()}
        return {name: _asset(name, entry, sources) for name, entry in data.get("asset", {}).items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        where = path or "configs/assets.toml"
        raise UsageError(
            f"expected a catalogue of assets in {where}, found: {error}. See docs/guide/models-and-data.md."
        ) from None


def find(catalogue: Catalogue, name: str) -> Asset:
    """The asset of that name. Raises UsageError, with the nearest known name, if there is none."""
    if name in catalogue:
        return catalogue[name]
    hint = did_you_mean(name, catalogue)
    raise UsageError(f"expected one of {', '.join(catalogue)}, found {name!r}.{hint} See: python -m sut assets")


def _source(key: str, entry: Mapping[str, Any]) -> Source:
    unknown = set(entry) - {"mirrors", "bytes", "checksum", "record"}
    if unknown or not entry.get("mirrors"):
        raise ValueError(f"[file.{key}] with {f'unknown {min(unknown)}' if unknown else 'no mirrors'}")
    kind, _, url = entry.get("record", "").partition(":")
    if kind and kind not in RECORDS:
        raise ValueError(f"[file.{key}] with a record of {kind!r}; known: {', '.join(RECORDS)}")
    if not kind and "checksum" not in entry:
        raise ValueError(f"[file.{key}] without checksum and record: the file could not be verified")
    digest = checksum.parse(entry["checksum"]) if "checksum" in entry else None
    return Source(tuple(entry["mirrors"]), entry.get("bytes"), digest, (kind, url) if kind else None)


def _asset(name: str, entry: Mapping[str, Any], sources: Mapping[str, Source]) -> Asset:
    inside = [*entry["files"], *entry.get("unpack", {}).values(), *entry.get("flags", {}).values()]
    for path in inside:
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            raise ValueError(f"[asset.{name}] with a path outside its directory: {path}")
    chosen = {path: sources[key] for path, key in entry["files"].items()}
    return Asset(**{**entry, "name": name, "files": chosen})
