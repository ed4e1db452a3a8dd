"""What tests of matrix products and kernels share: outputs that hold something else before, and numbers of threads."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from backends.pytorch_cpu.kernels import Activation, Encoding


def poisoned(encoding: Encoding, tokens: int, width: int) -> Activation:
    """An output in which whatever was not written shows."""
    to = encoding.empty(tokens, width)
    to.values.fill_(77)
    return to


@pytest.fixture(params=[1, 2], ids=["1-thread", "2-threads"])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """PyTorch's threads during a test."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)
