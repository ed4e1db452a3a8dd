"""Obtains one asset from the cache, the user's files or the mirrors, in this order, and unpacks it.

The asset is locked meanwhile, so that a second fetch waits and then finds the files in the cache.
"""

from __future__ import annotations

import shutil
import zipfile
import zlib
from pathlib import Path

from sut.errors import FetchError, UsageError
from sut.fetch import download, local_source, store
from sut.fetch.catalogue import Asset
from sut.fetch.download import DownloadContext
from sut.fetch.store import AssetCache, Pin

# What the standard library raises for a zip that is broken, encrypted or packed in another way.
_UNUSABLE = (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, ValueError, zlib.error)


def obtain(context: DownloadContext, cache: AssetCache, asset: Asset, from_path: Path | None, is_offline: bool) -> None:
    """Ensure that every file of `asset` is in the cache and verified.

    Args:
        from_path: the user's file, or directory with files, to take it from.
        is_offline: do not use the network.

    Raises:
        FetchError, UsageError: a file cannot be obtained.
    """
    say = context.display.say
    with cache.locked(asset, lambda holder: say(f"{asset.name}: waiting for process {holder}, which is fetching it")):
        say(f"{asset.name}: {asset.title}; licence: {asset.licence}")
        _check_from_path(asset, from_path)
        for file in asset.files:
            if cache.is_verified(asset, file):
                say(f"  {file}: already there")
                continue
            pin = (
                _from_cache(context, cache, asset, file)
                or _from_user(context, cache, asset, file, from_path, is_offline)
                or _from_network(context, cache, asset, file, is_offline)
            )
            cache.keep(asset, file, pin)
            say(f"  {file}: {pin.bytes:,} bytes, {pin.stated}: verified")
        unpack(cache, asset)


def verify(context: DownloadContext, cache: AssetCache, asset: Asset) -> list[str]:
    """Hash the files in the cache again; returns the faults."""
    faults = []
    for file in asset.files:
        path = cache.path(asset, file)
        if not path.is_file():
            continue
        pin = cache.pin(asset, file)
        expected = download.known_file(asset.files[file], pin)
        fault, found = download.check(context.display, path, expected, file)
        if fault:
            faults.append(f"{path}: {fault}")
        else:
            origin = pin.origin if pin else "found in the cache"
            stated = str(asset.files[file].checksum or expected.checksum)
            cache.keep(asset, file, download.make_pin(path, found, stated, origin))
    return faults


def unpack(cache: AssetCache, asset: Asset) -> None:
    """Extract the members of its archives that the catalogue names."""
    missing = {member: path for member, path in asset.unpack.items() if not cache.path(asset, path).is_file()}
    archives = [file for file in asset.files if missing and zipfile.is_zipfile(cache.path(asset, file))]
    for file in archives:
        try:
            with zipfile.ZipFile(cache.path(asset, file)) as archive:
                for member in sorted(set(missing) & set(archive.namelist())):
                    _extract(archive, member, cache.path(asset, missing.pop(member)))
        except _UNUSABLE as error:
            raise FetchError(
                f"expected a zip that can be unpacked in {cache.path(asset, file)}, found {error}. "
                "Check configs/assets.toml or --catalogue."
            ) from error
    if missing:
        raise FetchError(
            f"expected {', '.join(missing)} in {', '.join(asset.files)} of {asset.name}, found none of them. "
            "Check configs/assets.toml or --catalogue."
        )


def _extract(archive: zipfile.ZipFile, member: str, target: Path) -> None:
    temporary = store.partial_path(target)
    try:
        with archive.open(member) as source, temporary.open("wb") as copy:
            shutil.copyfileobj(source, copy, 1 << 20)
    except OSError as error:
        raise store.disk_error(target, error) from error
    else:
        store.put(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def _check_from_path(asset: Asset, from_path: Path | None) -> None:
    if from_path and not any(local_source.candidates(from_path, asset, file) for file in asset.files):
        names = sorted({name for file in asset.files for name in {file, *asset.files[file].names}})
        raise UsageError(f"expected one of {', '.join(names)} in --from {from_path}, found none of them. Check --from.")


def _from_cache(context: DownloadContext, cache: AssetCache, asset: Asset, file: str) -> Pin | None:
    """Verify a file in the cache that has no pin or was modified; None if it does not match."""
    path = cache.path(asset, file)
    expected = download.known_file(asset.files[file], cache.pin(asset, file))
    if not path.is_file() or expected.checksum is None:
        return None
    fault, found = download.check(context.display, path, expected, file)
    if fault:
        context.display.say(f"  {path} was changed after it was fetched: {fault}; it will be replaced")
        return None
    return download.make_pin(path, found, str(asset.files[file].checksum or expected.checksum), str(path))


def _from_user(
    context: DownloadContext, cache: AssetCache, asset: Asset, file: str, from_path: Path | None, is_offline: bool
) -> Pin | None:
    if from_path is None:
        return None
    source, pin = asset.files[file], cache.pin(asset, file)
    expected = download.known_file(source, pin) if is_offline else download.expected_file(context, source, pin)
    faults = []
    for path in local_source.candidates(from_path, asset, file):
        fault, taken = local_source.copy_if_valid(context.display, path, cache.path(asset, file), source, expected)
        if taken:
            return taken
        faults.append(f"{path}: {fault}")
    if faults and (from_path.is_dir() or len(asset.files) == 1):
        raise FetchError(
            f"expected {file} of {asset.name} in --from {from_path}, found {'; '.join(faults)}. Check --from."
        )
    return None


def _from_network(context: DownloadContext, cache: AssetCache, asset: Asset, file: str, is_offline: bool) -> Pin:
    source = asset.files[file]
    if is_offline:
        raise FetchError(
            f"expected {file} of {asset.name} in the cache, found it missing (--offline). Download "
            f"{source.mirrors[0]} elsewhere and add --from FILE, or use a bundle: --unbundle FILE."
        )
    return download.download(context, source, cache.path(asset, file), cache.pin(asset, file))
