"""A built engine on disk: a directory with engine.json and whatever else its maker writes; and what a maker is.

engine.json holds the `settings` that the engine was made from, under the same names for every maker, so that run.json
can repeat them without knowing the engine. A directory gets its name when all of it is written.
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
from foundation import atomic_write
from foundation.bounded_readers import SETTINGS_BYTES, read_json

JSON = "engine.json"
Progress = Callable[[str, int, int], None]  # what is being done, how many are done, of how many
About = Mapping[str, Any]  # what an engine was made from, as JSON can hold it


class BuildEngine(Protocol):
    """Calibrates `model` on `samples`, batches of one sample each, and writes the engine to `directory`."""

    def __call__(
        self, directory: Path, model: Model, samples: Sequence[Batch], about: About, threads: int, progress: Progress
    ) -> None: ...


@dataclass(frozen=True)
class EngineBuilder:
    """How the engines of a backend come about; two backends with one maker share their engines."""

    sources: tuple[Path, ...]  # the code that decides an engine: a change there makes every engine another one
    settings: Callable[[], dict[str, Any]]  # what else decides it, beside the model and the samples
    is_complete: Callable[[Path], bool]
    build: BuildEngine
    takes_ranges: bool = False  # uses a model's own ranges, and is then given no samples


def sources(*names: str) -> tuple[Path, ...]:
    """Files of `backends` by their modules' paths below it, or patterns of paths."""
    found = {name: sorted(Path(__file__).parents[1].glob(f"{name}.py")) for name in names}
    assert all(found.values()), found  # a module that moved must not drop out of the engines' key
    return tuple(path for paths in found.values() for path in paths)


def write(directory: Path, fill: Callable[[Path], About], is_complete: Callable[[Path], bool]) -> None:
    """Let `fill` write an engine into a temporary directory; what it returns becomes engine.json.

    Where another process was first, its engine stays.

    Raises:
        BackendError: the disk does not take it.
    """
    try:
        with atomic_write.replacing_directory(directory, is_complete) as temporary:
            content = fill(temporary)
            (temporary / JSON).write_text(json.dumps(dict(content), indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise BackendError(f"expected to write an engine to {directory}, found: {error}. Make room.") from error


def settings(directory: Path) -> dict[str, Any]:
    """What the engine in `directory` was made from.

    Raises:
        BackendError: there is none.
    """
    try:
        found: dict[str, Any] = read_json(directory / JSON, SETTINGS_BYTES)["settings"]
    except (ValueError, KeyError, TypeError) as error:
        raise missing(directory, error) from error
    return found


def missing(directory: Path, error: Exception) -> BackendError:
    """The error that says that `directory` holds no whole engine."""
    return BackendError(
        f"expected a built engine in {directory}, found none that is whole ({error}). Type: python -m sut build."
    )


def built_for(model: Model) -> Path:
    """The directory of the engine that was built for `model`.

    Raises:
        BackendError: none was.
    """
    if model.engine is None:
        raise BackendError(f"expected a built engine for {model.spec}, found none. Type: python -m sut build.")
    return model.engine
