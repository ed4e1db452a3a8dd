"""The processes of a run: this one's rank, how many there are, its device, and sums over all of them.

One process needs no process group: a sum over one is the number itself, and nothing of torch.distributed is started.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor, distributed

from sut.errors import UsageError

CPU = torch.device("cpu")
TIMEOUT_S = 600.0  # after which a silent process counts as lost; torch's own is half an hour
T = TypeVar("T")
_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
_BACKENDS = {"cpu": "gloo", "cuda": "cpu:gloo,cuda:nccl"}  # checkpoints gather what is on the CPU


@dataclass(frozen=True, kw_only=True)
class World:
    """One process of a run.

    Attributes:
        nodes: machines that take part.
        restart: how often the launcher has started the workers again; 0 in the first life.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    nodes: int = 1
    restart: int = 0
    device: torch.device = field(default=CPU)

    @property
    def is_first(self) -> bool:
        """Whether this process speaks for the run: its listeners are called, it writes the model."""
        return self.rank == 0

    def add(self, numbers: Tensor) -> Tensor:
        """`numbers` of any shape and dtype, summed over the ranks in place; each rank gets the same bits."""
        if self.size > 1:
            distributed.all_reduce(numbers)
        return numbers

    def of_first(self, value: T) -> T:
        """The first rank's `value`, on each."""
        values = [value]
        if self.size > 1:
            distributed.broadcast_object_list(values)
        return values[0]

    def wait(self) -> None:
        """Until all ranks are here."""
        if self.size > 1:
            distributed.barrier()

    def synchronise(self) -> None:
        """Until the device has done what it was given: before a clock is read."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


ALONE = World()


@contextmanager
def joined(
    device: str,
    timeout_s: float = TIMEOUT_S,
    environment: Mapping[str, str] = os.environ,
    typed_as: str = "--set device=",
) -> Iterator[World]:
    """This process's world, from the environment that torch.distributed.run sets; alone without it.

    Args:
        device: cpu, cuda, or auto: cuda where there is a GPU.
        typed_as: how a user of the command chooses the device.

    Raises:
        UsageError: no such device; the same in each process of a machine.
    """
    size, local_rank = int(environment.get("WORLD_SIZE", 1)), int(environment.get("LOCAL_RANK", 0))
    local_size = int(environment.get("LOCAL_WORLD_SIZE", size))
    least_here = int(environment.get("LOCAL_WORLD_SIZE", local_rank + 1))  # other launchers than torchrun do not say
    world = World(
        rank=int(environment.get("RANK", 0)),
        size=size,
        local_rank=local_rank,
        nodes=max(1, size // local_size),
        restart=int(environment.get("TORCHELASTIC_RESTART_COUNT", 0)),
        device=_device(device, local_rank, least_here, typed_as),
    )
    if size == 1:
        yield world
        return
    distributed.init_process_group(
        _BACKENDS[world.device.type],
        timeout=timedelta(seconds=timeout_s),
        device_id=world.device if world.device.type == "cuda" else None,
    )
    yield world
    distributed.destroy_process_group()  # after an error it would wait for processes that are gone


def _device(name: str, local_rank: int, local_size: int, typed_as: str) -> torch.device:
    count = torch.cuda.device_count()
    if name == "cpu" or (name == "auto" and not count):
        return CPU
    if local_size > count:
        expected = "a GPU" if local_size == 1 else f"a GPU for each of this machine's {local_size} processes"
        fewer = f", or start no more than {count}" if count else ""
        raise UsageError(f"expected {expected}, found {count or 'none'}. Type: {typed_as}cpu{fewer}")
    os.environ.setdefault(_WORKSPACE, ":4096:8")  # without it, cuBLAS is not repeatable, and PyTorch refuses
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a property of a module
    torch.cuda.set_device(local_rank)
    return torch.device("cuda", local_rank)
