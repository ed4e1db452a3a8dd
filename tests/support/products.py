"""What tests of matrix products and kernels share: outputs that hold something else before, weights, threads."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest
import torch

from backends.pytorch_cpu.kernels import Activation, Encoding
from backends.quantization import bounded_groups
from backends.quantization.int8_model import round_weight


def poisoned(encoding: Encoding, tokens: int, width: int) -> Activation:
    """An output in which whatever was not written shows."""
    to = encoding.empty(tokens, width)
    to.values.fill_(77)
    return to


def bounded_steps(rng: np.random.Generator, outputs: int, inputs: int) -> npt.NDArray[np.int8]:
    """Steps of a random weight with bounded groups, int8 [N, K], some of which are at their bounds."""
    weight = rng.standard_normal((outputs, inputs)).astype(np.float32)
    return round_weight(weight, bounded_groups.least_scale(weight))[0]


@pytest.fixture(params=[1, 2], ids=["1-thread", "2-threads"])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """PyTorch's threads during a test."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)
