"""`python -m sut doctor`: what this machine has, what works on it, and what to type to install what is missing.

Backends are tried, not only imported: each answers one batch of the demo in its own process, so that a crash is one
line of the report. The report is data; the table and the JSON are made from it.

    python -m sut doctor [--json]
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict
from importlib import metadata
from pathlib import Path

from backends import BACKENDS
from foundation import installation
from foundation.rules import SEEDS
from foundation.step_times import StepTimes
from qsl import feature_cache
from sut.commands.doctor import probe, table
from sut.commands.doctor.probe import BackendProbe
from sut.commands.doctor.report import CacheEntries, DoctorReport, LoadGen, MissingPart
from sut.errors import FAILED, VALID
from sut.fetch import catalogue
from sut.fetch.store import AssetCache
from sut.machine import facts as machine_facts
from sut.settings.parser import Parser, new_parser

_CORE = "onnxruntime"  # the backend of the core install
_BENCHMARK = ("bert-large-mlperf", "squad-dev")


# What each extra is for; pyproject.toml has what it installs. The rows of backends say what those of engines bring.
BRINGS = {
    **{row.extra: f"backend {name}: {row.brings}" for name, row in BACKENDS.own.items() if row.brings},
    "parquet": "SST-2 in its publisher's format, parquet files",
    "plot": "the plot of python -m sut sweep",
    "report": "the page of python -m sut report",
    "serve": "KServe v2: python -m sut serve --v2-port N, and backend v2",
    "ray": "executor ray: instances on the nodes of a Ray cluster",
    "train": "pre-training: python -m training.pretrain",
    "bench": "the peers of python -m benchmarks.cpu",
}


def main(argv: list[str]) -> int:
    """The verb `doctor`: exit code 0 if the core works, 3 if not."""
    args = parser().read(argv)
    report = examine(args.cache_dir.expanduser())
    if args.json:
        print(json.dumps(asdict(report), indent=2))
    else:
        table.show(report)
    return VALID if report.works else FAILED


def parser() -> Parser:
    """The command line of `doctor`."""
    found = new_parser("doctor")
    found.add_argument("--json", action="store_true", help="the report as JSON")
    found.add_argument("--cache-dir", type=Path, default=feature_cache.DEFAULT_CACHE_DIR, metavar="DIR",
                       help="the cache to examine (default: %(default)s)")  # fmt: skip
    return found


def examine(cache_dir: Path) -> DoctorReport:
    """Examine the machine; tries every backend."""
    probes = probe.every_backend(_CORE, StepTimes(cache_dir))
    loadgen = _loadgen()
    extras = {
        name: all(map(_is_installed, installation.extras()[name])) for name in installation.here() if name in BRINGS
    }
    fetched = _fetched(cache_dir)
    return DoctorReport(
        works=not loadgen.found and any(probed.works for probed in probes if probed.backend == _CORE),
        machine=machine_facts.facts(),
        installation=installation.kind(),
        loadgen=loadgen,
        backends=probes,
        extras=extras,
        fetched=fetched,
        cache_dir=str(cache_dir),
        cache=_cache(cache_dir),
        missing=(
            *_missing_extras(extras),
            *_missing_kernels(probes),
            *_missing_assets(fetched),
            *_broken_core(loadgen, probes),
        ),
    )


def _is_installed(distribution: str) -> bool:
    with suppress(metadata.PackageNotFoundError):
        return bool(metadata.version(distribution))
    return False


def _loadgen() -> LoadGen:
    version = machine_facts.versions().get("mlcommons-loadgen")
    try:
        from sut.queries import loadgen

        seeds = loadgen.own_seeds()
    except Exception as error:  # noqa: BLE001 - a library that does not load can raise anything
        return LoadGen(version, None, f"{type(error).__name__}: {error}")
    return LoadGen(version, next((name for name, known in SEEDS.items() if known == seeds), None), "")


def _fetched(cache_dir: Path) -> tuple[str, ...]:
    cache = AssetCache(cache_dir.absolute() / "assets")
    return tuple(name for name, asset in catalogue.read().items() if cache.is_complete(asset))


def _cache(directory: Path) -> tuple[CacheEntries, ...]:
    kinds = {
        "data sets": [path for path in directory.glob("*.json") if path.is_file()],
        "sets of features": [path.parent for path in directory.glob("*/input_ids.npy")],
        "engines": [path.parent for path in directory.glob("engines/*/engine.json")],
    }
    return tuple(CacheEntries(what, len(paths), sum(map(_size_bytes, paths))) for what, paths in kinds.items())


def _size_bytes(path: Path) -> int:
    files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
    return sum(file.stat().st_size for file in files)


def _missing_extras(extras: dict[str, bool]) -> list[MissingPart]:
    return [
        MissingPart(f"extra {name}", _brings(name), installation.command(name))
        for name, there in extras.items()
        if not there
    ]


def _brings(extra: str) -> str:
    precisions = {
        ", ".join(entry.precisions) for entry in BACKENDS.own.values() if entry.extra == extra and entry.runs_model
    }
    return "; ".join([BRINGS[extra], *precisions])


def _missing_kernels(probes: tuple[BackendProbe, ...]) -> list[MissingPart]:
    brings = "backend pytorch at its full speed: its own C++ kernels (their PyTorch references run instead)"
    todo = installation.build_again()
    return [MissingPart("native kernels", brings, todo)] if any(probed.kernels == "plain" for probed in probes) else []


def _missing_assets(fetched: tuple[str, ...]) -> list[MissingPart]:
    absent = [name for name in _BENCHMARK if name not in fetched]
    brings = "the benchmark's model and data set; python -m sut assets lists all names"
    return [MissingPart(", ".join(absent), brings, f"python -m sut fetch {' '.join(absent)}")] if absent else []


def _broken_core(loadgen: LoadGen, probes: tuple[BackendProbe, ...]) -> list[MissingPart]:
    broken = {"mlcommons-loadgen": bool(loadgen.found)}
    broken |= {one.backend: not one.works for one in probes if one.backend == _CORE}
    return [
        MissingPart(name, "every run: it is part of the core", installation.repair(name))
        for name, is_so in broken.items()
        if is_so
    ]
