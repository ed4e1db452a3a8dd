"""The tree of a package: logs, system description, sources, how to run them; written whole, then renamed."""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from foundation import atomic_write
from foundation.people_numbers import clock, count
from sut.errors import RunFailedError, UsageError
from training.package import rules
from training.package.runs import Run

_CODE = ("training", "sut", "backends", "qsl", "accuracy", "foundation", "configs")
_SOURCES = ("*.py", "*.h", "*.cpp", "*.toml")
_PARTS = ("results", "systems", "benchmarks")


def build(runs: Sequence[Run], description: Mapping[str, str], system: str, output: Path) -> Path:
    """Write the tree to `output`, in place of an earlier one; returns the directory of the results.

    Raises:
        UsageError: `output` holds something else.
        RunFailedError: it cannot be written.
    """
    others = sorted(one.name for one in output.iterdir() if one.name not in _PARTS) if output.is_dir() else []
    if others or (output.exists() and not output.is_dir()):
        found = ", ".join(others[:3]) or "a file"
        raise UsageError(
            f"expected an empty directory or an earlier package in {output}, found {found}. Type another --output."
        )
    try:
        with atomic_write.replacing_directory(output.resolve(), is_whole=lambda _: False) as folder:
            _fill(folder, runs, description, system)
    except OSError as error:
        raise RunFailedError(f"expected to write {output}, found: {error}. Type another --output.") from error
    return output / "results" / system / rules.BENCHMARK


def _fill(root: Path, runs: Sequence[Run], description: Mapping[str, str], system: str) -> None:
    results = root / "results" / system / rules.BENCHMARK
    results.mkdir(parents=True)
    for number, run in enumerate(runs):
        shutil.copyfile(run.log, results / f"result_{number}.txt")
    (root / "systems").mkdir()
    _write(root / "systems" / f"{system}.json", json.dumps(dict(description), indent=2) + "\n")
    code = root / "benchmarks" / rules.BENCHMARK / "implementations" / "pytorch"
    code.mkdir(parents=True)
    _write(code / "README.md", readme(runs, system))
    _write(code / "config.toml", config_toml(runs[0].record.settings))
    for package in _CODE:
        _copy_sources(package, code)


def readme(runs: Sequence[Run], system: str) -> str:
    """What was run, and how to run it again."""
    record = runs[0].record
    data = [
        f"* {one.use}: {count(one.samples, 'sample')}"
        + (f", sha256 of {one.digest_of}: {one.sha256}" if one.sha256 else "")
        for one in record.data
    ]
    return "\n".join(
        [
            f"# {rules.BENCHMARK} on {system}, {record.division} division",
            "",
            *(f"**{notice}**\n" for notice in record.notices),
            f"{record.task} on {record.shape} ({record.device_name}), {record.parallel}, {record.precision}. "
            f"Code: commit {record.machine.commit or 'unknown'}; its sources are in this directory.",
            "",
            "## Data",
            "",
            *(data or ["not recorded"]),
            "",
            "## Commands",
            "",
            "`config.toml` holds all settings of the runs. One run, with its seed:",
            "",
            "```",
            "python -m training.pretrain --config config.toml --set seed=SEED --output DIR",
            "```",
            "",
            "| result | seed | target | samples | time |",
            "| --- | --- | --- | --- | --- |",
            *(_row(number, run) for number, run in enumerate(runs)),
            "",
        ]
    )


def config_toml(settings: Mapping[str, object]) -> str:
    """A run's settings as TOML that `training.pretrain --config` reads; those that were not given are left out."""
    given = {name: value for name, value in settings.items() if value is not None}
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in given.items())


def _row(number: int, run: Run) -> str:
    found = run.record.figures
    reached = "reached" if run.has_converged else "not reached"
    return f"| {number} | {run.seed} | {reached} | {found.samples:,} | {clock(run.train_s)} |"


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _copy_sources(package: str, target: Path) -> None:
    folder = Path(str(importlib.import_module(package).__file__)).parent
    for source in sorted(path for pattern in _SOURCES for path in folder.rglob(pattern)):
        path = target / package / source.relative_to(folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, path)
