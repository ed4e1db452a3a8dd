"""The weights in a checkpoint of the toy task."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from toy_task import ToyTask

from training.loop import checkpoints
from training.loop.checkpoint_record import path_of
from training.loop.world import ALONE


def weights(folder: Path, step: int) -> dict[str, Tensor]:
    """The network's, after this step, whatever number of ranks has written them."""
    tensors = {f"network.{name}": tensor for name, tensor in ToyTask().network.state_dict().items()}
    checkpoints.restore(path_of(folder, step), tensors, ALONE)
    return tensors


def assert_equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    """To the last bit."""
    assert {name for name, tensor in one.items() if not torch.equal(tensor, other[name])} == set()


def assert_close(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    """Of other numbers of ranks, which add the same gradients up in another order."""
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, other[name], rtol=1e-4, atol=1e-5)
