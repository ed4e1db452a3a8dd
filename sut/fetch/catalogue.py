"""configs/assets.toml as frozen dataclasses: what can be fetched by name, from where, and its checksums.

Everything about a publisher is data in that file; for private mirrors, --catalogue names another such file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from importlib.resources import files
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from foundation.bounded_readers import SETTINGS_BYTES, read_toml
from foundation.suggest import did_you_mean
from foundation.typed_json import decode
from sut.errors import UsageError
from sut.fetch import checksum
from sut.fetch.checksum import Checksum

RECORDS = ("zenodo", "huggingface")


@dataclass(frozen=True)
class Source:
    """One file that can be downloaded."""

    mirrors: tuple[str, ...]  # in the order in which they are tried
    bytes: int | None
    about_bytes: int | None  # to be shown where `bytes` is not known; nothing is checked against it
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


@dataclass(frozen=True)
class _FileTable:
    """[file.KEY], as it is written."""

    mirrors: tuple[str, ...] = ()
    bytes: int | None = None
    about_bytes: int | None = None
    checksum: str | None = None
    record: str | None = None


@dataclass(frozen=True)
class _AssetTable:
    """[asset.NAME], as it is written; `files` and `flags` are those of `Asset`, with keys of file tables."""

    title: str
    licence: str
    files: Mapping[str, str]
    flags: Mapping[str, str] = field(default_factory=dict)
    unpack: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Tables:
    file: Mapping[str, _FileTable] = field(default_factory=dict)
    asset: Mapping[str, _AssetTable] = field(default_factory=dict)


def read(path: Path | None = None) -> Catalogue:
    """The catalogue that ships with the package, or the one in `path`.

    Raises:
        UsageError: it cannot be read, or an entry is wrong (the message names it).
    """
    try:
        data = read_toml(path or Path(str(files("configs") / "assets.toml")), SETTINGS_BYTES)
        found = decode(_Tables, data)
        for table, kind in (("file", _FileTable), ("asset", _AssetTable)):
            _refuse_unknown(table, data.get(table, {}), {one.name for one in fields(kind)})
        sources = {key: _source(key, entry) for key, entry in found.file.items()}
        return {name: _asset(name, entry, sources) for name, entry in found.asset.items()}
    except ValueError as error:
        where = path or "configs/assets.toml"
        raise UsageError(
            f"expected a catalogue of assets in {where}, found: {error}. See docs/guide/models-and-data.md."
        ) from None


def find(catalogue: Catalogue, name: str) -> Asset:
    """The asset of that name. Raises UsageError, with the nearest known name, if there is none."""
    if name in catalogue:
        return catalogue[name]
    if not catalogue:
        raise UsageError(f"expected {name!r} in the catalogue of assets, found no asset there. Check --catalogue.")
    hint = did_you_mean(name, catalogue)
    raise UsageError(f"expected one of {', '.join(catalogue)}, found {name!r}.{hint} See: python -m sut assets")


def _refuse_unknown(table: str, entries: Mapping[str, Mapping[str, object]], known: set[str]) -> None:
    for key, entry in entries.items():
        if unknown := set(entry) - known:
            raise ValueError(f"[{table}.{key}] with unknown {min(unknown)}")


def _source(key: str, entry: _FileTable) -> Source:
    if not entry.mirrors:
        raise ValueError(f"[file.{key}] with no mirrors")
    kind, _, url = (entry.record or "").partition(":")
    if kind and kind not in RECORDS:
        raise ValueError(f"[file.{key}] with a record of {kind!r}; known: {', '.join(RECORDS)}")
    if not kind and entry.checksum is None:
        raise ValueError(f"[file.{key}] without checksum and record: the file could not be verified")
    for size in (entry.bytes, entry.about_bytes):
        if size is not None and size < 0:
            raise ValueError(f"[file.{key}] with {size} bytes")
    for one in (url, *entry.mirrors):
        urlsplit(one)  # raises ValueError: no URL
    digest = None if entry.checksum is None else checksum.parse(entry.checksum)
    return Source(entry.mirrors, entry.bytes, entry.about_bytes, digest, (kind, url) if kind else None)


def _asset(name: str, entry: _AssetTable, sources: Mapping[str, Source]) -> Asset:
    named = [name, *entry.files, *entry.unpack.values()]
    for path in (*named, *entry.flags.values()):  # a flag may get the directory itself, "."
        if not _is_inside(PurePosixPath(path)) or (path in named and not PurePosixPath(path).parts):
            raise ValueError(f"[asset.{name}] with a path outside its directory: {path!r}")
    for key in set(entry.files.values()) - sources.keys():
        raise ValueError(f"[asset.{name}] with a file {key!r} that has no [file.{key}]")
    chosen = {path: sources[key] for path, key in entry.files.items()}
    return Asset(**vars(entry) | {"name": name, "files": chosen})


def _is_inside(path: PurePosixPath) -> bool:
    """Whether it leads to a place in the directory that it is relative to."""
    return not path.is_absolute() and ".." not in path.parts and "\0" not in str(path)
