"""Assets without a network: from what the user has (--from), and from another machine (--bundle, --unbundle).

A bundle is a plain tar of the downloads and their pins. What comes out of one is verified as what comes from a mirror;
only where nobody else states a hash does the bundle's own pin count.
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

from sut.errors import FetchError, UsageError
from sut.fetch import download, store
from sut.fetch.catalogue import Asset, Catalogue, Source
from sut.fetch.checksum import Checksum
from sut.fetch.progress_bar import Display
from sut.fetch.publisher import Stated
from sut.fetch.store import Pin, Shelf

PINS = "pins.json"  # first in a bundle


def candidates(place: Path, asset: Asset, file: str) -> list[Path]:
    """Files at `place` that may be this one: `place` itself, or what has its name, or its publisher's, in there."""
    if place.is_file():
        return [place]
    if not place.is_dir():
        raise UsageError(f"expected a file or a directory at --from {place}, found none.")
    names = [file, *sorted(asset.files[file].names - {file})]
    found = [folder / name for folder in (place / asset.name, place) for name in names]
    return [path for path in found if path.is_file()]


def take(display: Display, path: Path, target: Path, source: Source, wanted: Stated) -> tuple[str, Pin | None]:
    """Copy `path` to `target` if it is the right file; else (what is wrong with it, None)."""
    fault, found = download.check(display, path, wanted, path.name)
    if fault:
        return fault, None
    with path.open("rb") as file:
        _copy(file, target)
    return "", download.verified(target, found, str(source.checksum or wanted.checksum), str(path.resolve()))


def bundle(where: Shelf, assets: list[Asset], path: Path) -> None:
    """Write the downloads of `assets`, all of them there, and their pins."""
    pins = {f"{asset.name}/{file}": pin for asset in assets for file in asset.files if (pin := where.pin(asset, file))}
    text = json.dumps({key: asdict(pin) for key, pin in pins.items()}, indent=1).encode()
    aside = store.side(path)
    try:
        with tarfile.open(aside, "w") as tar:
            entry = tarfile.TarInfo(PINS)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text))
            for key in pins:
                tar.add(where.root / key, key, recursive=False)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise FetchError(f"expected to write a bundle to {path}, found: {error.strerror or error}.") from error
    store.put(aside, path)


@contextmanager
def opened(path: Path) -> Iterator[tuple[tarfile.TarFile, dict[str, Pin]]]:
    """A bundle and the pins in it."""
    try:
        with tarfile.open(path, "r:") as tar:
            first = tar.extractfile(PINS)
            pins = {key: Pin(**pin) for key, pin in json.loads(first.read() if first else b"").items()}
            yield tar, pins
    except (OSError, tarfile.TarError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise UsageError(
            f"expected a bundle (python -m sut fetch NAME --bundle FILE) at {path}, found: {error}."
        ) from error


def inside(pins: dict[str, Pin], catalogue: Catalogue) -> list[str]:
    """Names of the assets that a bundle holds and the catalogue knows."""
    return sorted({key.partition("/")[0] for key in pins} & set(catalogue))


def unpack(display: Display, tar: tarfile.TarFile, pins: dict[str, Pin], where: Shelf, asset: Asset, file: str) -> Pin:
    """One file out of a bundle, verified before it gets its name. Only names of the catalogue are ever looked up."""
    key, source, target = f"{asset.name}/{file}", asset.files[file], where.path(asset, file)
    member = tar.extractfile(key) if key in pins and tar.getmember(key).isfile() else None
    if member is None:
        raise UsageError(f"expected {key} in {tar.name!r}, found it missing. Make the bundle again.")
    wanted = download.known(source, where.pin(asset, file))
    wanted = wanted if wanted.checksum else Stated(pins[key].bytes, Checksum("sha256", pins[key].sha256))
    aside = target.with_name(target.name + ".unbundled")
    _copy(member, aside)
    fault, found = download.check(display, aside, wanted, key)
    if fault:
        aside.unlink()
        raise FetchError(
            f"expected {key} as its publisher has it, found in {tar.name!r}: {fault}. Make the bundle again."
        )
    store.put(aside, target)
    return download.verified(target, found, str(source.checksum or wanted.checksum), pins[key].origin)


def _copy(source: IO[bytes], target: Path) -> None:
    aside = target.with_name(target.name + ".copied")
    try:
        with aside.open("wb") as copy:
            shutil.copyfileobj(source, copy, 1 << 20)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise store.disk_error(target, error) from error
    store.put(aside, target)
