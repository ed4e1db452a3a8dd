"""Built engines on disk: a directory with engine.json and the files of its builder; and the contract of a builder.

engine.json holds the `settings` that the engine was built from, under the same names for every builder, so that
run.json can repeat them without knowing the engine. An engine is written to a temporary directory, sealed with the
digests of its files and renamed: a directory that is not what was written is noticed, and built again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from backends.base import Batch
from backends.bert.model import Model
from backends.errors import BackendError
from foundation import atomic_write, sealed_directory
from foundation.bounded_readers import SETTINGS_BYTES, read_json
from foundation.sealed_directory import is_intact
from foundation.typed_json import decode

JSON = "engine.json"
Progress = Callable[[str, int, int], None]  # the step's name, items done, items in total
About = Mapping[str, Any]  # what an engine was built from, as JSON values


class BuildEngine(Protocol):
    """Calibrates `model` on `samples`, batches of one sample each, and writes the engine to `directory`."""

    def __call__(
        self, directory: Path, model: Model, samples: Sequence[Batch], about: About, threads: int, progress: Progress
    ) -> None: ...


@dataclass(frozen=True)
class EngineBuilder:
    """How the engines of a backend are built; backends with the same builder share their engines."""

    sources: tuple[Path, ...]  # the code that determines an engine, part of its key
    settings: Callable[[Model], dict[str, Any]]  # what else determines it, besides model and samples
    is_complete: Callable[[Path], bool]
    build: BuildEngine
    takes_ranges: bool = False  # can use the model's own ranges; it then gets no samples


def sources(*names: str) -> tuple[Path, ...]:
    """Files of `backends`, given as module paths below it or as patterns of such paths."""
    found = {name: sorted(Path(__file__).parents[1].glob(f"{name}.py")) for name in names}
    assert all(found.values()), found  # a module that moved must not silently leave the engines' key
    return tuple(path for paths in found.values() for path in paths)


def write(directory: Path, fill: Callable[[Path], About], is_complete: Callable[[Path], bool]) -> None:
    """Let `fill` write an engine into a temporary directory; what it returns becomes engine.json, and all are sealed.

    If another process was faster, its engine stays.

    Raises:
        BackendError: it cannot be written.
    """
    try:
        with atomic_write.replacing_directory(directory, lambda one: is_complete(one) and is_intact(one)) as temporary:
            content = fill(temporary)
            (temporary / JSON).write_text(json.dumps(dict(content), indent=2) + "\n", encoding="utf-8")
            sealed_directory.seal(temporary)
    except OSError as error:
        raise BackendError(f"expected to write an engine to {directory}, found: {error}. Free disk space.") from error


def settings(directory: Path) -> dict[str, Any]:
    """What the engine in `directory` was built from.

    Raises:
        BackendError: there is no complete engine.
    """
    try:
        return dict(read(directory)["settings"])
    except ValueError as error:
        raise missing(directory, error) from error


def read(directory: Path) -> dict[str, Any]:
    """The content of engine.json: an object that holds the object `settings`. Raises UnreadableError."""
    content: dict[str, Any] = decode(dict[str, object], read_json(directory / JSON, SETTINGS_BYTES))
    decode(dict[str, object], content.get("settings"), "settings")
    return content


def files(model: Model) -> tuple[Path, ...]:
    """The files of the engine that was built for `model`; empty without one."""
    if model.engine is None:
        return ()
    return tuple(sorted(path for path in model.engine.iterdir() if path.is_file() and path.name[0] != "."))


def missing(directory: Path, error: Exception) -> BackendError:
    """The error for a directory without a complete engine."""
    return BackendError(
        f"expected a built engine in {directory}, found none that is complete ({error}). Type: python -m sut build."
    )


def built_for(model: Model) -> Path:
    """The directory of the engine that was built for `model`.

    Raises:
        BackendError: no engine was built for it.
    """
    if model.engine is None:
        raise BackendError(f"expected a built engine for {model.spec}, found none. Type: python -m sut build.")
    return model.engine
