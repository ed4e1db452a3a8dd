"""Assets without a network: from the user's files (--from) and from another machine (--bundle, --unbundle).

A bundle is a plain tar of the downloads and their pins. Its files are verified like downloads; its own pins are used
only for files without another known checksum.
"""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO

from foundation.bounded_readers import SETTINGS_BYTES, parse_json, require_regular
from foundation.typed_json import decode
from sut.errors import FetchError, UsageError
from sut.fetch import download, store
from sut.fetch.catalogue import Asset, Catalogue, Source
from sut.fetch.checksum import Checksum
from sut.fetch.progress_bar import Display
from sut.fetch.publisher import ExpectedFile
from sut.fetch.store import AssetCache, Pin

PINS = "pins.json"  # first in a bundle


def candidates(from_path: Path, asset: Asset, file: str) -> list[Path]:
    """Files that may be this one: `from_path` itself, or files in it with the asset's or a publisher's name."""
    if from_path.is_file():
        return [from_path]
    if not from_path.is_dir():
        raise UsageError(f"expected a file or a directory at --from {from_path}, found none. Check --from.")
    names = [file, *sorted(asset.files[file].names - {file})]
    found = [folder / name for folder in (from_path / asset.name, from_path) for name in names]
    return [path for path in found if path.is_file()]


def copy_if_valid(
    display: Display, path: Path, target: Path, source: Source, expected: ExpectedFile
) -> tuple[str, Pin | None]:
    """Copy `path` to `target` if it is the right file: ("", its pin), else (the fault, None)."""
    fault, found = download.check(display, path, expected, path.name)
    if fault:
        return fault, None
    with path.open("rb") as file:
        _copy(file, target)
    return "", download.make_pin(target, found, str(source.checksum or expected.checksum), str(path.resolve()))


def bundle(cache: AssetCache, assets: list[Asset], path: Path) -> None:
    """Write the downloads of `assets`, which must all exist, and their pins to a tar file."""
    pins = {f"{asset.name}/{file}": pin for asset in assets for file in asset.files if (pin := cache.pin(asset, file))}
    text = json.dumps({key: asdict(pin) for key, pin in pins.items()}, indent=1).encode()
    temporary = store.partial_path(path)
    try:
        with tarfile.open(temporary, "w") as tar:
            entry = tarfile.TarInfo(PINS)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text))
            for key in pins:
                tar.add(cache.root / key, key, recursive=False)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise FetchError(
            f"expected to write a bundle to {path}, found: {error.strerror or error}. Type another --bundle."
        ) from error
    store.put(temporary, path)


@contextmanager
def opened(path: Path) -> Iterator[tuple[tarfile.TarFile, dict[str, Pin]]]:
    """Open a bundle: the tar file and the pins in it. Raises UsageError."""
    try:
        require_regular(path)
        with tarfile.open(path, "r:") as tar:
            first = tar.extractfile(PINS)
            yield tar, decode(dict[str, Pin], parse_json(first.read(SETTINGS_BYTES) if first else b""))
    except (OSError, tarfile.TarError, KeyError, ValueError) as error:
        raise UsageError(
            f"expected a bundle (python -m sut fetch NAME --bundle FILE) at {path}, found: {error}. Check --unbundle."
        ) from error


def inside(pins: dict[str, Pin], catalogue: Catalogue) -> list[str]:
    """Names of the assets that are in the bundle and in the catalogue."""
    return sorted({key.partition("/")[0] for key in pins} & set(catalogue))


def unpack(
    display: Display, tar: tarfile.TarFile, pins: dict[str, Pin], cache: AssetCache, asset: Asset, file: str
) -> Pin:
    """Take one file from a bundle; it gets its name after verification. Only names of the catalogue are looked up."""
    key, source, target = f"{asset.name}/{file}", asset.files[file], cache.path(asset, file)
    member = tar.extractfile(key) if key in pins and _is_whole(tar.getmember(key), pins[key]) else None
    if member is None:
        raise UsageError(f"expected {key} in {tar.name!r}, found it missing or of another size. Make the bundle again.")
    expected = download.known_file(source, cache.pin(asset, file))
    expected = expected if expected.checksum else ExpectedFile(pins[key].bytes, Checksum("sha256", pins[key].sha256))
    temporary = target.with_name(target.name + ".unbundled")
    _copy(member, temporary)
    fault, found = download.check(display, temporary, expected, key)
    if fault:
        temporary.unlink()
        raise FetchError(f"expected the publisher's {key} in {tar.name!r}, found {fault}. Make the bundle again.")
    store.put(temporary, target)
    return download.make_pin(target, found, str(source.checksum or expected.checksum), pins[key].origin)


def _is_whole(member: tarfile.TarInfo, pin: Pin) -> bool:
    return member.isfile() and not member.issparse() and member.size == pin.bytes


def _copy(source: IO[bytes], target: Path) -> None:
    temporary = target.with_name(target.name + ".copied")
    try:
        with temporary.open("wb") as copy:
            shutil.copyfileobj(source, copy, 1 << 20)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise store.disk_error(target, error) from error
    store.put(temporary, target)
