"""`python -m sut fetch NAME…`: bring models and data sets, verified; `python -m sut assets` lists them.

Interrupted at any point, by Ctrl-C or worse, the same command continues where it was.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from qsl.feature_cache import DEFAULT_CACHE_DIR
from sut.errors import FetchError, UsageError
from sut.fetch import catalogue, http, local_source, obtain
from sut.fetch.catalogue import Asset, Catalogue
from sut.fetch.download import Means
from sut.fetch.progress_bar import Display
from sut.fetch.store import Shelf

_DESCRIPTION = """Bring models and data sets of configs/assets.toml, each verified by size and checksum.

python -m sut fetch bert-large-mlperf squad-dev      then: --model bert-large-mlperf --dataset squad-dev
python -m sut fetch bert-large-mlperf --from DIR     from files that you have
python -m sut fetch bert-large-mlperf squad-dev --bundle assets.tar      for a machine without a network,
python -m sut fetch --unbundle assets.tar                                and there
python -m sut assets                                 every name, what is there, how big, verified when

Proxies are those of the environment (https_proxy, no_proxy). Exit code: 0 all there, 2 usage, 3 something did not come.
"""


def main(argv: list[str]) -> int:
    """The verb `fetch`."""
    options = _parser().parse_args(argv)
    known = catalogue.read(options.catalogue)
    assets = [catalogue.find(known, name) for name in dict.fromkeys(options.names)]
    if not assets and not options.unbundle:
        raise UsageError(f"expected what to fetch, out of {', '.join(known)}. See: python -m sut assets")
    where = shelf_of(options.cache_dir)
    try:
        with Display() as display:
            _bring(Means(http.session(), _policy(options), display), where, known, assets, options)
    except KeyboardInterrupt:
        raise FetchError("interrupted. What has come is kept: the same command continues.") from None
    for asset in assets:
        print(*_used(where, asset), sep="\n")
    return 0


def shelf_of(cache_dir: Path | None) -> Shelf:
    """The one shelf of a cache directory."""
    return Shelf((cache_dir or DEFAULT_CACHE_DIR).expanduser().absolute() / "assets")


def add_places(parser: argparse.ArgumentParser) -> None:
    """The flags that `fetch` and `assets` share."""
    parser.add_argument("--cache-dir", type=Path, metavar="DIR", help="assets go below DIR/assets (default: "
        "~/.cache/mlperf-bert-sut); a run must be given the same one")  # fmt: skip
    parser.add_argument("--catalogue", type=Path, metavar="FILE", help="names from here instead of configs/assets.toml")


def _parser() -> argparse.ArgumentParser:
    patience = http.Policy()
    parser = argparse.ArgumentParser(
        "python -m sut fetch", description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )  # fmt: skip
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help="see python -m sut assets")
    add("--from", dest="place", type=Path, metavar="PATH", help="a file, or a directory with files, that you have")
    add("--offline", action="store_true", help="never touch the network")
    add("--bundle", type=Path, metavar="FILE", help="pack what was fetched, for a machine without a network")
    add("--unbundle", type=Path, metavar="FILE", help="take NAMEs, or all that it holds, out of such a package")
    add_places(parser)
    add("--attempts", type=int, default=patience.attempts, metavar="N", help="attempts in a row that bring nothing "
        "before a mirror is given up (default: %(default)s)")  # fmt: skip
    add("--pause-s", type=float, default=patience.first_pause_s, metavar="S", help="before the second attempt; doubled "
        "each time, up to a minute (default: %(default)g)")  # fmt: skip
    add("--timeout-s", type=float, default=patience.timeout_s, metavar="S", help="for an answer, between two pieces "
        "of a file, and for a body that trickles (default: %(default)g)")  # fmt: skip
    return parser


def _policy(options: argparse.Namespace) -> http.Policy:
    if options.attempts < 1 or not 0 <= options.pause_s <= 3600 or not 0 < options.timeout_s <= 86400:
        raise UsageError("expected --attempts from 1, --pause-s from 0 to 3600 and --timeout-s above 0, up to 86400.")
    return http.Policy(
        attempts=options.attempts, first_pause_s=options.pause_s, longest_pause_s=max(60 * options.pause_s, 0.0),
        timeout_s=options.timeout_s, slow_after_s=options.timeout_s,
    )  # fmt: skip


def _bring(means: Means, where: Shelf, known: Catalogue, assets: list[Asset], options: argparse.Namespace) -> None:
    if options.unbundle:
        assets[:] = _unbundle(means, where, known, assets, options.unbundle)
    for asset in assets:
        obtain.obtain(means, where, asset, options.place, options.offline)
    if options.bundle:
        local_source.bundle(where, assets, options.bundle)
        means.display.say(f"packed in {options.bundle}; there: python -m sut fetch --unbundle {options.bundle.name}")


def _unbundle(means: Means, where: Shelf, known: Catalogue, assets: list[Asset], path: Path) -> list[Asset]:
    with local_source.opened(path) as (tar, pins):
        chosen = assets or [known[name] for name in local_source.inside(pins, known)]
        for asset in chosen:
            with where.locked(asset, lambda holder: means.display.say(f"waiting for process {holder}")):
                for file in asset.files:
                    if not where.is_verified(asset, file):
                        where.keep(asset, file, local_source.unpack(means.display, tar, pins, where, asset, file))
    return chosen


def _used(where: Shelf, asset: Asset) -> list[str]:
    """How to name it to a run; where it lies, when no flag takes it."""
    flags = [f"--{flag} {asset.name}" for flag in asset.flags]
    return flags or [str(where.path(asset, file)) for file in asset.files]
