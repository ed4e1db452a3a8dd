"""checkpoint.json: what a checkpoint holds in addition to its tensors, and the digest of every file next to it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from foundation.bounded_readers import SETTINGS_BYTES, UnreadableError, read_json
from foundation.typed_json import decode
from sut.errors import UsageError

CHECKPOINTS, RECORD = "checkpoints", "checkpoint.json"
_NAME = re.compile(r"step-(\d{8,})")


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What checkpoint.json holds.

    Attributes:
        score: of the evaluation at this step; None: there was none.
        best: the best score up to this step.
        network: digest of the names and shapes of the network's parameters.
        task: the task's values, without its tensors.
        files: sha256 of every other file in the directory.
    """

    step: int
    samples: int
    seed: int
    score: float | None
    best: float | None
    loss_scale: float
    good_steps: int
    skipped: int
    network: str
    task: dict[str, object]
    files: dict[str, str] = field(default_factory=dict)


def path_of(folder: Path, step: int) -> Path:
    """The directory of a step's checkpoint, in the folder of its run."""
    return folder / CHECKPOINTS / f"step-{step:08}"


def newest_first(folder: Path) -> list[Path]:
    """The directories of checkpoints, whole or damaged."""
    found = {int(match[1]): path for path in _directories(folder) if (match := _NAME.fullmatch(path.name))}
    return [found[step] for step in sorted(found, reverse=True)]


def _directories(folder: Path) -> Iterator[Path]:
    return (folder / CHECKPOINTS).iterdir() if (folder / CHECKPOINTS).is_dir() else iter(())


def best(folder: Path) -> Path | None:
    """The checkpoint with the best score, the newest of equal ones; None where none has a score."""
    scores = {path: score for path in newest_first(folder) if (score := _score(path)) is not None}
    return max(scores, key=lambda path: (scores[path], path.name), default=None)


def _score(path: Path) -> float | None:
    try:
        return read_record(path).score
    except UnreadableError:
        return None


def read_record(path: Path) -> Checkpoint:
    """What checkpoint.json of the directory `path` holds. Raises UnreadableError."""
    return decode(Checkpoint, read_json(path / RECORD, SETTINGS_BYTES))


def checked(path: Path) -> Checkpoint:
    """The record of a checkpoint, all files of which have their digests. Raises UnreadableError."""
    record = read_record(path)
    for name, expected in record.files.items():
        try:
            found = digest(path / name)
        except OSError as error:
            raise UnreadableError(f"{name}: {error.strerror}") from error
        if found != expected:
            raise UnreadableError(f"{name} is damaged: expected sha256 {expected[:12]}…, found {found[:12]}…")
    return record


def digest(path: Path) -> str:
    """The sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_same(path: Path, found: Checkpoint, expected: Mapping[str, object]) -> None:
    """Raise UsageError where a checkpoint is of a run with another seed, batch or network."""
    for name, value in expected.items():
        if (other := getattr(found, name)) != value:
            raise UsageError(
                f"expected a checkpoint with {name} {value}, found {other} in {path}. "
                "Type: another --output, or the settings with which it was written."
            )
