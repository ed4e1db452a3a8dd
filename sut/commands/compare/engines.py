"""Engines built into a directory that can be copied to another machine, and found there by preset.

compare.json in that directory maps presets to engines, so that the executing machine needs neither the calibration
data nor the libraries that built them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from backends.quantization import engine_store
from foundation import atomic_write, bounded_readers
from foundation.bounded_readers import UnreadableError
from foundation.typed_json import decode, encode
from sut.errors import UsageError
from sut.machine import facts as machine_facts
from sut.running import engines
from sut.settings.settings import RunConfig

INDEX = "compare.json"


@dataclass(frozen=True, kw_only=True)
class PresetEngine:
    """One preset's engine; `engine` is None if its precision needs none."""

    backend: str
    precision: str
    model: str
    engine: str | None  # its directory's name
    build_s: float | None  # None: it was already built and its build time is unknown
    built_on: Mapping[str, str] | None

    def is_for(self, config: RunConfig) -> bool:
        return (self.backend, self.precision, self.model) == (config.backend, config.precision, config.model)

    @property
    def is_foreign(self) -> bool:
        """Whether it was built on another kind of machine."""
        return self.built_on not in (None, machine_facts.kind())


def build(name: str, config: RunConfig, root: Path) -> PresetEngine:
    """Build the engine of preset `name` into `root`, unless it exists, and add it to the index.

    Raises:
        UsageError, DatasetError, BackendError: a setting or file cannot be used, or `root` cannot be written.
    """
    index = _read(root)
    found = _build(config, root, index.get(name)) if engines.needs_engine(config) else _no_engine(config)
    _write(root, index | {name: found})
    return found


def _no_engine(config: RunConfig) -> PresetEngine:
    return PresetEngine(
        backend=config.backend, precision=config.precision, model=config.model, engine=None, build_s=None, built_on=None
    )


def _build(config: RunConfig, root: Path, before: PresetEngine | None) -> PresetEngine:
    there = {path.name for path in root.iterdir()} if root.is_dir() else set()
    start_s = time.perf_counter()
    directory = engines.build(config, root)
    build_s = None if directory.name in there else time.perf_counter() - start_s
    if build_s is None and before and before.engine == directory.name:
        build_s = before.build_s
    about = engine_store.settings(directory)
    return PresetEngine(
        backend=config.backend,
        precision=config.precision,
        model=config.model,
        engine=directory.name,
        build_s=build_s,
        built_on=about.get("built_on"),
    )


def find(name: str, config: RunConfig, root: Path) -> PresetEngine:
    """The engine of preset `name` that `build` wrote to `root`.

    Raises:
        UsageError: there is none, or it is for another model, backend or precision.
    """
    todo = f"Type: python -m sut compare {name} --build --engines {root}, with the same flags"
    found = _read(root).get(name)
    if found is None:
        raise UsageError(f"expected the engine of {name} in {root}, found none. {todo}.")
    if not found.is_for(config):
        raise UsageError(
            f"expected in {root} an engine of {name} for {config.model} on {config.backend} {config.precision}, found "
            f"one for {found.model} on {found.backend} {found.precision}. {todo}."
        )
    return found


def _read(root: Path) -> dict[str, PresetEngine]:
    """Preset → its engine; empty without an index."""
    path = root / INDEX
    if not path.exists():
        return {}
    try:
        return decode(dict[str, PresetEngine], bounded_readers.read_json(path, bounded_readers.SETTINGS_BYTES))
    except UnreadableError as error:
        raise UsageError(f"expected the index of --build in {path}, found {error}. Type another --engines.") from error


def _write(root: Path, index: Mapping[str, PresetEngine]) -> None:
    try:
        root.mkdir(parents=True, exist_ok=True)
        atomic_write.write_text(root / INDEX, json.dumps(encode(index), indent=2) + "\n")
    except OSError as error:
        raise UsageError(f"expected to write to {root}, found: {error}. Type another --engines.") from error
