"""Engines apart from their runs: built into a directory that can be carried to another machine, and found there again.

compare.json in that directory says which engine is whose, so that the machine which executes needs neither the
calibration data nor the libraries that built it.
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
from sut.run import engines
from sut.settings.settings import RunConfig

INDEX = "compare.json"


@dataclass(frozen=True)
class Built:
    """One preset's engine; `engine` None where its precision runs none: weights are then read as they are."""

    backend: str
    precision: str
    model: str
    engine: str | None  # its directory's name
    build_s: float | None  # None: it was there before, and its time was not noted
    built_on: Mapping[str, str] | None

    def is_for(self, config: RunConfig) -> bool:
        return (self.backend, self.precision, self.model) == (config.backend, config.precision, config.model)

    @property
    def is_foreign(self) -> bool:
        """Built on another kind of machine than this one."""
        return self.built_on not in (None, machine_facts.kind())


def build(name: str, config: RunConfig, root: Path) -> Built:
    """Build the engine of preset `name` into `root` where it is not there, and note it in the index.

    Raises:
        UsageError, DatasetError, BackendError: what cannot be used, or `root` cannot be written.
    """
    index = _read(root)
    found = _build(config, root, index.get(name)) if engines.needs_engine(config) else _nothing(config)
    _write(root, index | {name: found})
    return found


def _nothing(config: RunConfig) -> Built:
    return Built(config.backend, config.precision, config.model, None, None, None)


def _build(config: RunConfig, root: Path, before: Built | None) -> Built:
    there = {path.name for path in root.iterdir()} if root.is_dir() else set()
    start_s = time.perf_counter()
    directory = engines.build(config, root)
    build_s = None if directory.name in there else time.perf_counter() - start_s
    if build_s is None and before and before.engine == directory.name:
        build_s = before.build_s
    about = engine_store.settings(directory)
    return Built(config.backend, config.precision, config.model, directory.name, build_s, about.get("built_on"))


def find(name: str, config: RunConfig, root: Path) -> Built:
    """What `build` left in `root` for preset `name`.

    Raises:
        UsageError: nothing, or for another model, backend or precision.
    """
    todo = f"Type: python -m sut compare {name} --build --engines {root}, with the same flags"
    found = _read(root).get(name)
    if found is None:
        raise UsageError(f"expected what --build left for {name} in {root}, found nothing. {todo}.")
    if not found.is_for(config):
        raise UsageError(
            f"expected in {root} an engine of {name} for {config.model} on {config.backend} {config.precision}, found "
            f"one for {found.model} on {found.backend} {found.precision}. {todo}."
        )
    return found


def _read(root: Path) -> dict[str, Built]:
    """Preset → what was built for it; empty where nothing was."""
    path = root / INDEX
    if not path.exists():
        return {}
    try:
        return decode(dict[str, Built], bounded_readers.read_json(path, bounded_readers.SETTINGS_BYTES))
    except UnreadableError as error:
        raise UsageError(f"expected what --build writes in {path}, found {error}. Take another --engines.") from error


def _write(root: Path, index: Mapping[str, Built]) -> None:
    try:
        root.mkdir(parents=True, exist_ok=True)
        atomic_write.write_text(root / INDEX, json.dumps(encode(index), indent=2) + "\n")
    except OSError as error:
        raise UsageError(f"expected to write to {root}, found: {error}. Take another --engines.") from error
