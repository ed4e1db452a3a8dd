"""Checkpoints: network, optimizer and step in a directory for each, which appears whole or not at all.

Tensors are written by `torch.distributed.checkpoint`, each rank its part, so that another number of ranks can go on.
checkpoint.json holds the rest and the digest of every file: damage is found before anything is unpacked, and the
checkpoint before is taken.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.distributed.checkpoint import state_dict_loader, state_dict_saver
from torch.distributed.checkpoint.api import CheckpointException
from torch.optim import Optimizer

from foundation import atomic_write
from foundation.bounded_readers import UnreadableError
from foundation.typed_json import encode
from sut.errors import RunFailedError
from training.loop import faults
from training.loop.checkpoint_record import (
    CHECKPOINTS,
    RECORD,
    Checkpoint,
    best,
    checked,
    digest,
    newest_first,
    path_of,
)
from training.loop.world import World

_PART = ".part"
_CUT_SHORT = "inline_container"  # in torch's RuntimeError where a write to its archive has failed before


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
    path = path_of(folder, record.step)
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
        cause = _cause(error)
        if _CUT_SHORT in str(cause):
            cause = OSError(errno.ENOSPC, "a file was cut short: the disk is full, or fails")
        if not isinstance(cause, OSError):  # such as a lost process
            raise cause from error
        raise RunFailedError(
            f"expected to write a checkpoint to {path}, found: {_words(cause)}. Older checkpoints are kept. "
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
    for path in {*newest_first(folder)[kept:]} - {best(folder)}:
        shutil.rmtree(path, ignore_errors=True)


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
        cause = _cause(error)
        if faults.is_lost_process(cause):
            raise cause from error
        raise RunFailedError(f"expected the tensors of this run in {path}, found: {_words(cause)}.") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without torch's warning that one process is alone."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.distributed is disabled", UserWarning)
        yield


def _cause(error: BaseException) -> BaseException:
    """The first rank's: torch's message holds the tracebacks of all ranks."""
    return next(iter(error.failures.values()))[0] if isinstance(error, CheckpointException) else error


def _words(error: BaseException) -> str:
    strerror = getattr(error, "strerror", None)
    return strerror or (str(error).strip().splitlines() or [type(error).__name__])[0]
