"""A network on its ranks: whole on each (DDP), or its parameters shared (FSDP2).

Either way the gradients of ranks add up, without a division: a task's loss is a share of the whole step's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal, cast

import torch
from torch import Tensor, distributed, nn
from torch._C._distributed_c10d import GradBucket
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from training.loop.world import World

Parallel = Literal["ddp", "fsdp"]


def wrapped(network: nn.Module, world: World, parallel: Parallel, *, reduced: bool = True) -> nn.Module:
    """`network` on its device, so that a backward pass adds its gradients up over the ranks.

    Args:
        reduced: False leaves that to `reduce`: each rank clips its own gradients before.
    """
    network.to(world.device)
    if world.size == 1:
        return network
    if parallel == "fsdp":
        return _sharded(network, world)
    if not reduced:
        for tensor in network.state_dict().values():
            distributed.broadcast(tensor, 0)
        return network
    device_ids = [world.device.index] if world.device.type == "cuda" else None
    data_parallel = DistributedDataParallel(network, device_ids=device_ids, gradient_as_bucket_view=True)
    data_parallel.register_comm_hook(None, lambda _, bucket: _added(bucket))  # it evaluates no annotations
    return data_parallel


def _added(bucket: GradBucket) -> torch.futures.Future[Tensor]:
    """DDP's own hook divides by the number of ranks."""
    work = distributed.all_reduce(bucket.buffer(), async_op=True)
    assert work is not None
    return cast(torch.futures.Future[Tensor], work.get_future().then(_first))


def _first(future: torch.futures.Future[Any]) -> Tensor:
    return cast(list[Tensor], future.value())[0]


def _sharded(network: nn.Module, world: World) -> nn.Module:
    mesh = init_device_mesh(world.device.type, (world.size,))
    layers = [layer for stack in network.modules() if isinstance(stack, nn.ModuleList) for layer in stack]
    for module in (*layers, network):
        shards = fully_shard(module, mesh=mesh)
        shards.set_gradient_divide_factor(1.0)
        shards.set_force_sum_reduction_for_comms(True)
    return network


@contextmanager
def _accumulating(network: FSDPModule) -> Iterator[None]:
    network.set_requires_gradient_sync(False)
    try:
        yield
    finally:
        network.set_requires_gradient_sync(True)


def accumulating(network: nn.Module) -> AbstractContextManager[None]:
    """For each micro-batch of a step but the last: gradients stay on their rank."""
    if isinstance(network, DistributedDataParallel):
        return cast(AbstractContextManager[None], network.no_sync())
    return _accumulating(network) if isinstance(network, FSDPModule) else nullcontext()


@contextmanager
def repeatable(world: World) -> Iterator[None]:
    """Gradients of the block are added up in the same order in each run, on a GPU too: a resumed one ends alike.

    What is not repeatable there in a forward pass is the sum of a loss, on which no gradient depends.
    """
    if world.device.type != "cuda":
        yield
        return
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


def unwrapped(network: nn.Module) -> nn.Module:
    """The network itself, for an evaluation, where ranks need no common number of batches unless it is sharded."""
    return network.module if isinstance(network, DistributedDataParallel) else network


def reduce(gradients: Sequence[Tensor]) -> None:
    """Add gradients up over the ranks, in one collective."""
    flat = torch.cat([one.reshape(-1) for one in gradients])
    distributed.all_reduce(flat)
    parts = torch.split(flat, [one.numel() for one in gradients])
    torch._foreach_copy_(list(gradients), [part.view_as(one) for part, one in zip(parts, gradients, strict=True)])


def whole_weights(network: nn.Module) -> dict[str, Tensor]:
    """The network's state on the CPU, by name, put together from the ranks; a collective where it is sharded."""
    gather: Callable[[Tensor], Tensor] = lambda one: one.full_tensor() if isinstance(one, DTensor) else one  # noqa: E731
    return {name: gather(tensor).detach().cpu() for name, tensor in unwrapped(network).state_dict().items()}
