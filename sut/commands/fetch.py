"""`python -m sut fetch NAME…`: downloads and verifies models and data sets; `python -m sut assets` lists them.

After an interruption at any point, the same command continues.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from foundation.foreign_text import printable_lines
from qsl.feature_cache import DEFAULT_CACHE_DIR
from sut.errors import FetchError, UsageError
from sut.fetch import catalogue, http, local_source, obtain
from sut.fetch.catalogue import Asset, Catalogue
from sut.fetch.download import DownloadContext
from sut.fetch.progress_bar import Display
from sut.fetch.store import AssetCache
from sut.settings.parser import Parser, new_parser

_MORE = """The names are those of configs/assets.toml. Every file is verified by size and checksum.

python -m sut fetch bert-large-mlperf squad-dev      then: --model bert-large-mlperf --dataset squad-dev
python -m sut fetch bert-large-mlperf --from DIR     from your files
python -m sut fetch bert-large-mlperf squad-dev --bundle assets.tar      pack for a machine without a network
python -m sut fetch --unbundle assets.tar                                unpack there
python -m sut assets                                 lists all names: state, size, time of verification

Proxies come from the environment (https_proxy, no_proxy). Exit code: 0 all fetched, 2 usage, 3 something failed.
"""


def main(argv: list[str]) -> int:
    """The verb `fetch`."""
    options = parser().read(argv)
    known = catalogue.read(options.catalogue)
    assets = [catalogue.find(known, name) for name in dict.fromkeys(options.names)]
    if not assets and not options.unbundle:
        raise UsageError(
            f"expected what to fetch, found no name. Type one of {', '.join(known)}. See: python -m sut assets"
        )
    cache = asset_cache(options.cache_dir)
    try:
        with Display() as display:
            _bring(DownloadContext(http.new_session(), _policy(options), display), cache, known, assets, options)
    except KeyboardInterrupt:
        raise FetchError("interrupted. The bytes so far are kept; the same command continues.") from None
    for asset in assets:
        print(printable_lines("\n".join(_used(cache, asset))))
    return 0


def asset_cache(cache_dir: Path | None) -> AssetCache:
    """The assets of a cache directory."""
    return AssetCache((cache_dir or DEFAULT_CACHE_DIR).expanduser().absolute() / "assets")


def add_places(parser: Parser) -> None:
    """Add the flags that `fetch` and `assets` share."""
    parser.add_argument("--cache-dir", type=Path, metavar="DIR", help="assets go below DIR/assets (default: "
        "~/.cache/mlperf-bert-sut); a run must be given the same one")  # fmt: skip
    parser.add_argument(
        "--catalogue", type=Path, metavar="FILE", help="use this catalogue instead of configs/assets.toml"
    )


def parser() -> Parser:
    """The command line of `fetch`."""
    patience = http.RetryPolicy()
    found = new_parser("fetch", _MORE)
    add = found.add_argument
    add("names", nargs="*", metavar="NAME", help="see python -m sut assets")
    add(
        "--from",
        dest="from_path",
        type=Path,
        metavar="PATH",
        help="take it from this file, or from files in this directory",
    )
    add("--offline", action="store_true", help="do not use the network")
    add("--bundle", type=Path, metavar="FILE", help="pack the fetched files for a machine without a network")
    add("--unbundle", type=Path, metavar="FILE", help="unpack NAMEs, or everything, from such a bundle")
    add_places(found)
    add("--attempts", type=int, default=patience.attempts, metavar="N", help="give up a mirror after N attempts in a "
        "row without new bytes (default: %(default)s)")  # fmt: skip
    add("--pause-s", type=float, default=patience.first_pause_s, metavar="S", help="wait before the second attempt; "
        "doubled each time, up to a minute (default: %(default)g)")  # fmt: skip
    add("--timeout-s", type=float, default=patience.timeout_s, metavar="S", help="give up an attempt without a "
        "response, or almost without bytes, for S seconds (default: %(default)g)")  # fmt: skip
    return found


def _policy(options: argparse.Namespace) -> http.RetryPolicy:
    if options.attempts < 1 or not 0 <= options.pause_s <= 3600 or not 0 < options.timeout_s <= 86400:
        raise UsageError(
            "expected --attempts from 1, --pause-s from 0 to 3600 and --timeout-s above 0, up to 86400, found "
            f"--attempts {options.attempts} --pause-s {options.pause_s:g} --timeout-s {options.timeout_s:g}."
        )
    return http.RetryPolicy(
        attempts=options.attempts, first_pause_s=options.pause_s, longest_pause_s=max(60 * options.pause_s, 0.0),
        timeout_s=options.timeout_s, slow_after_s=options.timeout_s,
    )  # fmt: skip


def _bring(
    context: DownloadContext, cache: AssetCache, known: Catalogue, assets: list[Asset], options: argparse.Namespace
) -> None:
    if options.unbundle:
        assets[:] = _unbundle(context, cache, known, assets, options.unbundle)
    for asset in assets:
        obtain.obtain(context, cache, asset, options.from_path, options.offline)
    if options.bundle:
        replaced = ", which replaced an earlier file" if options.bundle.is_file() else ""
        local_source.bundle(cache, assets, options.bundle)
        context.display.say(
            f"packed in {options.bundle}{replaced}. On the other machine type: "
            f"python -m sut fetch --unbundle {options.bundle.name}"
        )


def _unbundle(
    context: DownloadContext, cache: AssetCache, known: Catalogue, assets: list[Asset], path: Path
) -> list[Asset]:
    with local_source.opened(path) as (tar, pins):
        chosen = assets or [known[name] for name in local_source.inside(pins, known)]
        for asset in chosen:
            with cache.locked(asset, lambda holder: context.display.say(f"waiting for process {holder}")):
                for file in asset.files:
                    if not cache.is_verified(asset, file):
                        cache.keep(asset, file, local_source.unpack(context.display, tar, pins, cache, asset, file))
    return chosen


def _used(cache: AssetCache, asset: Asset) -> list[str]:
    """The flags of a run that take the asset, or its paths if there is no such flag."""
    flags = [f"--{flag} {asset.name}" for flag in asset.flags]
    return flags or [str(cache.path(asset, file)) for file in asset.files]
