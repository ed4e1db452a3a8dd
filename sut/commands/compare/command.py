"""The verb `compare`: builds the engines, runs presets and reference, prints the comparison."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from backends import check as check_backend
from sut.commands.compare import engines as compare_engines
from sut.commands.compare import ladder, published, runs, table
from sut.commands.compare.engines import PresetEngine
from sut.commands.compare.runs import ComparisonRow
from sut.commands.compare.table import Comparison
from sut.errors import INVALID, VALID, UsageError
from sut.processes import directory_lock, run_process
from sut.running import engines
from sut.settings import flags, presets
from sut.settings.parser import Parser, new_parser
from sut.settings.resolve import resolve, to_flags
from sut.settings.settings import RunConfig

_MORE = """Plain fp32 is ONNX Runtime with one sample at a time.

python -m sut compare PRESET...                                builds engines, runs, prints a table for each preset
python -m sut compare PRESET... --build --engines DIR          only builds; DIR can be copied to another machine
python -m sut compare PRESET... --execute --engines DIR        only runs, with the engines of --build
python -m sut compare --speed MODEL...                         only speed: models, each related to the first

A MODEL is one of bert-large, bert-large@80 (80 % zeros), minilm-l12, mobilebert … with random weights, or what --model
takes; without one, all that have a published F1 are run. In int8 on PyTorch, unless --precision and --backend differ.

Flags of a run may follow and override the presets' settings, such as --model, --dataset and --test-query-count.
Exit code: 0 all keep their accuracy, 1 one loses too much or a run was invalid, 2 usage, 3 a run failed.
"""

_LADDER = {"backend": "pytorch", "precision": "int8"}  # unless settings say otherwise


def main(argv: Sequence[str]) -> int:
    """Run the comparison; the last line of the output is JSON."""
    args = parser().read(argv)
    values, toml = flags.split(args, "compare")
    if args.speed:
        return _speed(args, values, toml)
    if not args.presets:
        raise UsageError(
            "expected a preset, found none. Type: python -m sut compare ixrt-int8-performance --model demo"
        )
    configs = {name: settings_of(resolve({"preset": name, **values}, toml)) for name in args.presets}
    for one in configs.values():
        for run in runs.planned(one, args.accuracy_samples).values():
            run_process.check(to_flags(run))
    both = args.build == args.execute
    engine_of = compare_engines.build if args.build or both else compare_engines.find
    found = {name: engine_of(name, one, _root(args, one)) for name, one in configs.items()}
    if not (args.execute or both):
        return _print_built(found)
    folder = _folder(args)
    compared = []
    with directory_lock.held(folder, "comparison") as held:
        for name, config in configs.items():
            accelerated = (
                replace(config, engine=_root(args, config) / engine) if (engine := found[name].engine) else config
            )
            rows = _rows(name, accelerated, folder / name, args.accuracy_samples, held)
            compared.append(_comparison(name, config, rows, found[name]))
            table.show(compared[-1])
    print(f"logs: {folder}")
    print(table.json_line(compared))
    return VALID if all(one.passed for one in compared) else INVALID


def _folder(args: argparse.Namespace) -> Path:
    folder: Path = args.output_dir or Path("runs") / f"{datetime.now(UTC):%Y%m%dT%H%M%S}-compare"
    return folder


def _speed(args: argparse.Namespace, values: Mapping[str, Any], toml: Mapping[str, Any]) -> int:
    """The ladder: no score and no engine that is carried elsewhere, so flags for these are refused."""
    for name in ("build", "execute", "engines", "accuracy_samples"):
        if getattr(args, name):
            raise UsageError(f"found --{name.replace('_', '-')} with --speed, which only measures speed. Remove it.")
    if "model" in values:
        raise UsageError(
            f"found --model with --speed, which takes its models without a flag. Type: --speed {values['model']}"
        )
    rungs = [published.rung(word) for word in args.presets or published.RUNGS]
    published.require_sizes(rungs)
    chosen = {**toml, **values}
    asked = {name: value for name, value in _LADDER.items() if name not in chosen and "preset" not in chosen}
    configs = [settings_of(resolve({**asked, **values, "model": one.model}, toml)) for one in rungs]
    for one in configs:
        for planned in runs.planned(one, None).values():
            run_process.check(to_flags(planned))
    folder = _folder(args)
    with directory_lock.held(folder, "comparison") as held:
        found = ladder.measure(list(zip(rungs, configs, strict=True)), folder, held)
    ladder.show(found)
    print(f"logs: {folder}")
    print(ladder.json_line(found))
    return INVALID if any(one.invalid for one in found) else VALID


def parser() -> Parser:
    """The command line of `compare`."""
    found = new_parser("compare", _MORE)
    add = found.add_argument
    add("presets", nargs="*", metavar="PRESET", help="a name listed by `python -m sut presets`; with --speed a model")
    add(
        "--speed", action="store_true", help="the speed of models, next to the F1 published of them, instead of presets"
    )
    add("--build", action="store_true", help="only build the engines")
    add("--execute", action="store_true", help="only run, with engines that were built before")
    add("--engines", type=Path, metavar="DIR", help="directory of the engines (default: the cache)")
    add("--output-dir", type=Path, metavar="DIR", help="directory of the logs (default: a new one below runs/)")
    add("--accuracy-samples", type=int, metavar="N", help="score only the first N samples (default: all)")
    flags.add(found, "compare")
    return found


def settings_of(asked: RunConfig) -> RunConfig:
    """The accelerated configuration without the settings of single runs; fp16 stays, for its notice."""
    if asked.is_on_nodes:
        raise UsageError(
            "expected an executor of this machine, since two engines are compared and nodes have one, found "
            f"--executor {asked.executor}. Remove it."
        )
    check_backend(asked.backend)
    return replace(asked, preset=None, scenario="Offline", mode="performance", target=None, kpi=None)


def _root(args: argparse.Namespace, config: RunConfig) -> Path:
    return args.engines or engines.default_root(config)


def _print_built(found: dict[str, PresetEngine]) -> int:
    for name, one in found.items():
        how = "no engine needed: the weights are used directly" if one.engine is None else f"engine {one.engine}"
        seconds = "" if one.build_s is None else f", built in {one.build_s:.1f} s"
        print(f"{name}: {one.model} on {one.backend} {one.precision}: {how}{seconds}")
    print(json.dumps({"built": {name: asdict(one) for name, one in found.items()}}))
    return VALID


def _rows(
    name: str, accelerated: RunConfig, folder: Path, accuracy_samples: int | None, held: int
) -> dict[str, ComparisonRow]:
    rows = {}
    for row, of in (
        ("accelerated", accelerated),
        ("reference", reference(accelerated)),
    ):  # the one more likely to be refused comes first
        print(f"{name}, {row}: {of.model} on {of.backend} {of.precision}; {runs.ABOUT}", file=sys.stderr, flush=True)
        rows[row] = runs.measure(of, folder / row, accuracy_samples, held)
    return rows


def _comparison(name: str, config: RunConfig, rows: dict[str, ComparisonRow], engine: PresetEngine) -> Comparison:
    return Comparison(
        preset=name,
        model=config.model,
        dataset="the embedded data set" if config.dataset is None else str(config.dataset),
        reference=rows["reference"],
        accelerated=rows["accelerated"],
        built=engine,
        may_lose=presets.may_lose(name),
        is_judged=not config.model.startswith(published.RANDOM),
    )


def reference(config: RunConfig) -> RunConfig:
    """The reference configuration of the same model: fp32, ONNX Runtime, one instance, one sample at a time."""
    return replace(
        config,
        backend="onnxruntime",
        precision="fp32",
        instances=1,
        cores_per_instance=None,
        threads=None,
        batch_size=1,
        max_batch_tokens=None,
        steps=None,
        fpmath_mode=None,
        executor="processes",
        engine=None,
    )
