"""`python -m sut assets`: lists all assets: their flags, state, size, and when they were verified."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from foundation import tables, terminal
from foundation.people_numbers import megabytes
from sut.commands.fetch import add_places, asset_cache
from sut.errors import FetchError
from sut.fetch import catalogue, http, obtain
from sut.fetch.catalogue import Asset, Catalogue
from sut.fetch.download import DownloadContext
from sut.fetch.progress_bar import Display
from sut.fetch.store import AssetCache, partial_path
from sut.settings.parser import Parser, new_parser


@dataclass(frozen=True, kw_only=True)
class AssetRow:
    """One asset and its current state."""

    name: str
    title: str
    licence: str
    flags: dict[str, str]  # flag → the path that it gets for this name
    state: str  # there, partly, missing, or changed (modified since it was verified)
    bytes: int  # on disk
    bytes_whole: int | None  # None: not known yet
    about_bytes: int | None  # roughly, where it is not known
    verified: str | None  # the oldest time of its files
    files: dict[str, str]  # path → pinned sha256, or ""


def main(argv: list[str]) -> int:
    """The verb `assets`."""
    options = parser().read(argv)
    known, cache = catalogue.read(options.catalogue), asset_cache(options.cache_dir)
    faults = _verify(cache, known) if options.verify else []
    rows = [row(cache, asset) for asset in known.values()]
    if options.json:
        print(json.dumps({"root": str(cache.root), "assets": [asdict(one) for one in rows]}, indent=1))
    else:
        show(rows, cache.root)
    if faults:
        raise FetchError("expected the files that were fetched, found " + "; ".join(faults) + ". Fetch them again.")
    return 0


def parser() -> Parser:
    """The command line of `assets`."""
    found = new_parser("assets")
    add_places(found)
    found.add_argument("--verify", action="store_true", help="hash the files again")
    found.add_argument("--json", action="store_true", help="print JSON")
    return found


def row(cache: AssetCache, asset: Asset) -> AssetRow:
    """The current state of `asset`."""
    pins = {file: cache.pin(asset, file) for file in asset.files}
    paths = {file: cache.path(asset, file) for file in asset.files}
    present = [path for file in paths.values() for path in (file, partial_path(file)) if path.is_file()]
    total = [pin.bytes if pin else asset.files[file].bytes for file, pin in pins.items()]
    about = [
        size if size is not None else asset.files[file].about_bytes for file, size in zip(pins, total, strict=True)
    ]
    return AssetRow(
        name=asset.name,
        title=asset.title,
        licence=asset.licence,
        flags={flag: str(cache.path(asset, path)) for flag, path in asset.flags.items()},
        state=_state(cache, asset, present),
        bytes=sum(path.stat().st_size for path in present),
        bytes_whole=None if None in total else sum(size or 0 for size in total),
        about_bytes=None if None in about else sum(size or 0 for size in about),
        verified=min((pin.verified for pin in pins.values() if pin), default=None)
        if cache.is_complete(asset)
        else None,
        files={str(paths[file]): pin.sha256 if pin else "" for file, pin in pins.items()},
    )


def _state(cache: AssetCache, asset: Asset, present: list[Path]) -> str:
    if cache.is_complete(asset):
        return "there"
    if all(cache.path(asset, file).is_file() for file in asset.files):
        return "changed"
    return "partly" if present else "missing"


def _verify(cache: AssetCache, known: Catalogue) -> list[str]:
    with Display() as display:
        context = DownloadContext(http.new_session(), http.RetryPolicy(), display)
        return [fault for asset in known.values() for fault in obtain.verify(context, cache, asset)]


_HEADINGS = ("name", "for", "state", "size", "verified", "licence")


def show(rows: list[AssetRow], root: Path) -> None:
    """Print the assets as a table, and how to fetch what is missing."""
    console = terminal.console()
    tables.show(_HEADINGS, [_cells(one) for one in rows], ("size",))
    console.print(f"directory: {root}. To fetch what is missing, type: python -m sut fetch NAME", soft_wrap=True)


def _cells(one: AssetRow) -> tuple[str, ...]:
    flags = " ".join(f"--{flag}" for flag in one.flags) or "–"
    return one.name, flags, one.state, _size(one), one.verified or "–", one.licence


def _size(one: AssetRow) -> str:
    total = "unknown" if one.about_bytes is None else megabytes(one.about_bytes)
    total = f"about {total}" if one.bytes_whole is None and one.about_bytes is not None else total
    return f"{megabytes(one.bytes)} of {total}" if one.state == "partly" else total
