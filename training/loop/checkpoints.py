"""Checkpoints: network, optimizer and step in a directory for each, which appears whole or not at all.

Tensors are written by `torch.distributed.checkpoint`, each rank its part, so that another number of ranks can go on.
checkpoint.json holds the rest and the digest of every file: damage is found before anything is unpacked, and the
checkpoint before is taken.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.distributed.checkpoint import state_dict_loader, state_dict_saver
from torch.distributed.checkpoint.api import CheckpointException
from torch.optim import Optimizer

from foundation import atomic_write
from foundation.bounded_readers import SETTINGS_BYTES, UnreadableError, read_json
from foundation.typed_json import decode, encode
from sut.errors import RunFailedError, UsageError
from training.loop.world import World

CHECKPOINTS, RECORD = "checkpoints", "checkpoint.json"
_NAME = re.compile(r"step-(\d{8,})")
_PART = ".part"


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


def signature(network: nn.Module) -> str:
    """A digest of the names and shapes of a network's parameters, whole, wherever they are."""
    shapes = [(name, list(one.shape)) for name, one in network.named_parameters()]
    return hashlib.sha256(json.dumps(shapes).encode()).hexdigest()


def tensors_of(network: nn.Module, optimizer: Optimizer, task: Mapping[str, Any]) -> dict[str, Tensor]:
    """All tensors of a run by name, sharing their memory."""
    found = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    for name, parameter in network.named_parameters():
        found |= {f"optimizer.{name}.{key}": value for key, value in optimizer.state.get(parameter, {}).items()}
    return found | {f"task.{name}": value for name, value in task.items() if isinstance(value, Tensor)}


def allocate(optimizer: Optimizer) -> None:
    """Let a new optimizer make its state, for `restore` to fill; no weight changes."""
    rates = [group["lr"] for group in optimizer.param_groups]
    for group in optimizer.param_groups:
        group["lr"] = 0.0
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    optimizer.zero_grad()
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate


def write(folder: Path, record: Checkpoint, tensors: dict[str, Tensor], world: World, kept: int) -> Path:
    """Write a checkpoint into `folder`; keeps the newest `kept` and the best. All ranks call it.

    Raises:
        RunFailedError: no place on the disk, or no permission. Older checkpoints are unchanged.
    """
    path = folder / CHECKPOINTS / f"step-{record.step:08}"
    part = path.with_name(f".{path.name}{_PART}")
    try:
        if world.is_first:
            _make_room(part)
        world.wait()
        with _quiet():
            state_dict_saver.save(tensors, checkpoint_id=part, no_dist=world.size == 1)
        digests = _digests(part, world)
        if world.is_first:
            _finish(part, path, record, digests)
            _remove_old(folder, kept)
        world.wait()
    except (OSError, CheckpointException) as error:
        if world.is_first:
            shutil.rmtree(part, ignore_errors=True)
        raise RunFailedError(
            f"expected to write a checkpoint to {path}, found: {_reason(error)}. Older checkpoints are kept. "
            "Type: the same command, when there is room; it goes on from the newest."
        ) from error
    return path


def _make_room(part: Path) -> None:
    part.parent.mkdir(parents=True, exist_ok=True)
    for left in part.parent.glob(f".step-*{_PART}"):
        shutil.rmtree(left)
    part.mkdir()


def _digests(part: Path, world: World) -> dict[str, str]:
    """Of every file, each rank its share of them; all of them on each."""
    names = sorted(one.name for one in part.iterdir())
    mine = {name: digest(part / name) for name in names[world.rank :: world.size]}
    if world.size == 1:
        return mine
    shares: list[dict[str, str]] = [{}] * world.size
    distributed.all_gather_object(shares, mine)
    return {name: one for share in shares for name, one in share.items()}


def digest(path: Path) -> str:
    """The sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _finish(part: Path, path: Path, record: Checkpoint, digests: dict[str, str]) -> None:
    content = encode(record) | {"files": digests}
    atomic_write.write_text(part / RECORD, json.dumps(content, indent=1) + "\n")
    if path.exists():  # of the same step, before a restart
        shutil.rmtree(path)
    part.rename(path)
    descriptor = os.open(path.parent, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def _remove_old(folder: Path, kept: int) -> None:
    paths = newest_first(folder)
    scores = {path: record.score for path in paths if (record := _record_or_none(path)) and record.score is not None}
    best = max(scores, key=lambda path: (scores[path], path.name), default=None)
    for path in paths[kept:]:
        if path != best:
            shutil.rmtree(path, ignore_errors=True)


def newest_first(folder: Path) -> list[Path]:
    """The directories of checkpoints, whole or damaged."""
    found = {int(match[1]): path for path in _directories(folder) if (match := _NAME.fullmatch(path.name))}
    return [found[step] for step in sorted(found, reverse=True)]


def _directories(folder: Path) -> Iterator[Path]:
    return (folder / CHECKPOINTS).iterdir() if (folder / CHECKPOINTS).is_dir() else iter(())


def _record_or_none(path: Path) -> Checkpoint | None:
    try:
        return read_record(path)
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


def newest_whole(folder: Path, world: World) -> tuple[Path | None, list[tuple[Path, str]]]:
    """The newest undamaged checkpoint, and those passed over, each with the reason; the same on each rank.

    Raises:
        RunFailedError: there are checkpoints, and all of them are damaged.
    """
    choice: list[Any] = [_choose(folder) if world.is_first else None]
    if world.size > 1:
        distributed.broadcast_object_list(choice)
    path, refused = choice[0]
    if path is None and refused:
        reasons = "; ".join(f"{one.name}: {reason}" for one, reason in refused)
        raise RunFailedError(
            f"expected a whole checkpoint in {folder / CHECKPOINTS}, found damaged ones ({reasons}). "
            "Type: another --output, or remove them to start from the first step."
        )
    return path, refused


def _choose(folder: Path) -> tuple[Path | None, list[tuple[Path, str]]]:
    refused = []
    for path in newest_first(folder):
        try:
            checked(path)
        except UnreadableError as error:
            refused.append((path, str(error)))
        else:
            return path, refused
    return None, refused


def restore(path: Path, tensors: dict[str, Tensor], world: World) -> None:
    """Fill `tensors` in place from a checkpoint of any number of ranks.

    Raises:
        RunFailedError: it does not hold them.
    """
    try:
        with _quiet():
            state_dict_loader.load(tensors, checkpoint_id=path, no_dist=world.size == 1)
    except (OSError, CheckpointException, ValueError, RuntimeError) as error:
        raise RunFailedError(f"expected the tensors of this run in {path}, found: {_reason(error)}.") from error


def require_same(path: Path, found: Checkpoint, expected: Mapping[str, object]) -> None:
    """Raise UsageError where a checkpoint is of a run with another seed, batch or network."""
    for name, value in expected.items():
        if (other := getattr(found, name)) != value:
            raise UsageError(
                f"expected a checkpoint with {name} {value}, found {other} in {path}. "
                "Type: another --output, or the settings with which it was written."
            )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without torch's warning that one process is alone."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.distributed is disabled", UserWarning)
        yield


def _reason(error: BaseException) -> str:
    """The first cause in one line: torch's message holds the tracebacks of all ranks."""
    if isinstance(error, CheckpointException):
        error = next(iter(error.failures.values()))[0]
    strerror = getattr(error, "strerror", None)
    return strerror or (str(error).strip().splitlines() or [type(error).__name__])[0]
