"""`python -m sut assets`: every name, for which flags it stands, what of it is there, and when that was verified."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from sut.commands.fetch import add_places, shelf_of
from sut.errors import FetchError
from sut.fetch import catalogue, http, obtain
from sut.fetch.catalogue import Asset, Catalogue
from sut.fetch.download import Means
from sut.fetch.progress_bar import Display
from sut.fetch.store import Shelf, side


@dataclass(frozen=True)
class Row:
    """One asset, as it is now."""

    name: str
    title: str
    licence: str
    flags: dict[str, str]  # flag → path that it gets
    state: str  # there, partly, missing, changed: touched since it was verified
    bytes: int  # on disk
    bytes_whole: int | None  # None: nobody has said yet
    verified: str | None  # the oldest of its files'
    files: dict[str, str]  # path → sha256 as pinned, or ""


def main(argv: list[str]) -> int:
    """The verb `assets`."""
    parser = argparse.ArgumentParser("python -m sut assets", description=__doc__, allow_abbrev=False)
    add_places(parser)
    parser.add_argument("--verify", action="store_true", help="hash what is there anew")
    parser.add_argument("--json", action="store_true", help="for programs")
    options = parser.parse_args(argv)
    known, where = catalogue.read(options.catalogue), shelf_of(options.cache_dir)
    faults = _verify(where, known) if options.verify else []
    rows = [row(where, asset) for asset in known.values()]
    if options.json:
        print(json.dumps({"root": str(where.root), "assets": [asdict(one) for one in rows]}, indent=1))
    else:
        _print(rows, where.root)
    if faults:
        raise FetchError("expected what was fetched, found " + "; ".join(faults) + ". Fetch it again: it is replaced.")
    return 0


def row(where: Shelf, asset: Asset) -> Row:
    pins = {file: where.pin(asset, file) for file in asset.files}
    paths = {file: where.path(asset, file) for file in asset.files}
    present = [path for file in paths.values() for path in (file, side(file)) if path.is_file()]
    whole = [pin.bytes if pin else asset.files[file].bytes for file, pin in pins.items()]
    return Row(
        asset.name,
        asset.title,
        asset.licence,
        {flag: str(where.path(asset, path)) for flag, path in asset.flags.items()},
        _state(where, asset, present),
        sum(path.stat().st_size for path in present),
        None if None in whole else sum(size or 0 for size in whole),
        min((pin.verified for pin in pins.values() if pin), default=None) if where.is_whole(asset) else None,
        {str(paths[file]): pin.sha256 if pin else "" for file, pin in pins.items()},
    )


def _state(where: Shelf, asset: Asset, present: list[Path]) -> str:
    if where.is_whole(asset):
        return "there"
    if all(where.path(asset, file).is_file() for file in asset.files):
        return "changed"
    return "partly" if present else "missing"


def _verify(where: Shelf, known: Catalogue) -> list[str]:
    with Display() as display:
        means = Means(http.session(), http.Policy(), display)
        return [fault for asset in known.values() for fault in obtain.verify(means, where, asset)]


def _print(rows: list[Row], root: Path) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("name", "for", "there", "size", "verified", "licence"):
        table.add_column(heading, no_wrap=True, justify="right" if heading == "size" else "left")
    for one in rows:
        flags = " ".join(f"--{flag}" for flag in one.flags) or "–"
        table.add_row(one.name, flags, one.state, _size(one), one.verified or "–", one.licence)
    console = Console(highlight=False, markup=False, width=None if Console().is_terminal else 200)
    console.print(table)
    console.print(f"below {root}; python -m sut fetch NAME brings what is missing", soft_wrap=True)


def _size(one: Row) -> str:
    whole = "?" if one.bytes_whole is None else f"{one.bytes_whole / 1e6:,.1f}"
    have = f"{one.bytes / 1e6:,.1f} of " if one.state == "partly" else ""
    return f"{have}{whole} MB"
