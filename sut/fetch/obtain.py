"""One asset, from wherever it can come: what is there, what the user has, the mirrors; then unpacked.

It holds the asset's lock all the while, so that a second fetch waits and then finds everything there.
"""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

from sut.errors import FetchError, UsageError
from sut.fetch import download, local_source, store
from sut.fetch.catalogue import Asset
from sut.fetch.download import Means
from sut.fetch.store import Pin, Shelf


def obtain(means: Means, where: Shelf, asset: Asset, place: Path | None, is_offline: bool) -> None:
    """Have every file of `asset` on the shelf, verified.

    Args:
        place: what the user has of it, a file or a directory.
        is_offline: the network is not touched.

    Raises:
        FetchError, UsageError: a file cannot be had; it says which, and what to type.
    """
    say = means.display.say
    with where.locked(asset, lambda holder: say(f"{asset.name}: waiting for process {holder}, which fetches it")):
        say(f"{asset.name}: {asset.title}; licence: {asset.licence}")
        _check_place(asset, place)
        for file in asset.files:
            if where.is_verified(asset, file):
                say(f"  {file} is there")
                continue
            pin = (
                _there(means, where, asset, file)
                or _from_place(means, where, asset, file, place, is_offline)
                or _from_network(means, where, asset, file, is_offline)
            )
            where.keep(asset, file, pin)
            say(f"  {file}: {pin.bytes:,} bytes, {pin.stated}: right")
        unpack(where, asset)


def verify(means: Means, where: Shelf, asset: Asset) -> list[str]:
    """Hash what is there anew; what is wrong with it."""
    faults = []
    for file in asset.files:
        path = where.path(asset, file)
        if not path.is_file():
            continue
        pin = where.pin(asset, file)
        wanted = download.known(asset.files[file], pin)
        fault, found = download.check(means.display, path, wanted, file)
        if fault:
            faults.append(f"{path}: {fault}")
        else:
            origin = pin.origin if pin else "found there"
            stated = str(asset.files[file].checksum or wanted.checksum)
            where.keep(asset, file, download.verified(path, found, stated, origin))
    return faults


def unpack(where: Shelf, asset: Asset) -> None:
    """The members of its archives that the catalogue names."""
    missing = {member: path for member, path in asset.unpack.items() if not where.path(asset, path).is_file()}
    for file in asset.files if missing else ():
        with zipfile.ZipFile(where.path(asset, file)) as archive:
            for member in sorted(set(missing) & set(archive.namelist())):
                _extract(archive, member, where.path(asset, missing.pop(member)))
    if missing:
        raise FetchError(
            f"expected {', '.join(missing)} in {', '.join(asset.files)} of {asset.name}, found none of that."
        )


def _extract(archive: zipfile.ZipFile, member: str, target: Path) -> None:
    aside = store.side(target)
    try:
        with archive.open(member) as source, aside.open("wb") as copy:
            shutil.copyfileobj(source, copy, 1 << 20)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise store.disk_error(target, error) from error
    store.put(aside, target)


def _check_place(asset: Asset, place: Path | None) -> None:
    if place and not any(local_source.candidates(place, asset, file) for file in asset.files):
        names = sorted({name for file in asset.files for name in {file, *asset.files[file].names}})
        raise UsageError(f"expected one of {', '.join(names)} in --from {place}, found none of them.")


def _there(means: Means, where: Shelf, asset: Asset, file: str) -> Pin | None:
    """A file under its name that no pin speaks for, or that was touched since: right, or of no account."""
    path = where.path(asset, file)
    wanted = download.known(asset.files[file], where.pin(asset, file))
    if not path.is_file() or wanted.checksum is None:
        return None
    fault, found = download.check(means.display, path, wanted, file)
    if fault:
        means.display.say(f"  {path} was changed since it was fetched: {fault}; it is replaced")
        return None
    return download.verified(path, found, str(asset.files[file].checksum or wanted.checksum), str(path))


def _from_place(
    means: Means, where: Shelf, asset: Asset, file: str, place: Path | None, is_offline: bool
) -> Pin | None:
    if place is None:
        return None
    source, pin = asset.files[file], where.pin(asset, file)
    wanted = download.known(source, pin) if is_offline else download.expected(means, source, pin)
    faults = []
    for path in local_source.candidates(place, asset, file):
        fault, taken = local_source.take(means.display, path, where.path(asset, file), source, wanted)
        if taken:
            return taken
        faults.append(f"{path}: {fault}")
    if faults and (place.is_dir() or len(asset.files) == 1):
        raise FetchError(
            f"expected {file} of {asset.name} in --from {place}, found {'; '.join(faults)}. It was not taken."
        )
    return None


def _from_network(means: Means, where: Shelf, asset: Asset, file: str, is_offline: bool) -> Pin:
    source = asset.files[file]
    if is_offline:
        raise FetchError(
            f"expected {file} of {asset.name}, found it missing, and --offline keeps from the network. Download "
            f"{source.mirrors[0]} elsewhere and add --from FILE, or bring a bundle: --unbundle FILE."
        )
    return download.download(means, source, where.path(asset, file), where.pin(asset, file))
