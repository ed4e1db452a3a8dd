"""Whether an int8 product is faster sparse or dense: a trial of milliseconds on the machine that runs it.

What is faster depends on the share of zero blocks, the shape, and the dense product's instructions: AMX's tiles are
four times as fast as vectors. Layers of one shape and about one share of zeros have one trial together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from backends.pytorch_cpu import trial
from backends.pytorch_cpu.kernels import Encoding

_TOKENS = 512
LEAST = 0.1  # zero blocks, below which the sparse product is never faster


class _Layer(Protocol):
    input_encoding: Encoding

    def __call__(self, x: Tensor) -> Tensor: ...


class Case(NamedTuple):
    """What a trial's outcome depends on, within one process."""

    outputs: int
    inputs: int
    twentieths: int  # zero blocks
    of_outputs: bool  # what the blocks are
    bounded: bool  # the weight's groups, for which products may be faster
    dtype: torch.dtype  # of the output
    gelu: bool
    threads: int


_FASTER: dict[Case, bool] = {}


def is_faster(case: Case, sparse: Callable[[], _Layer], dense: Callable[[], _Layer]) -> bool:
    """True if what `sparse` makes is clearly faster than what `dense` makes, on 512 tokens; tried once in a process."""
    if case not in _FASTER:
        skipping, multiplying = (_on_bytes(make(), case.inputs) for make in (sparse, dense))
        _FASTER[case] = trial.is_faster(skipping, multiplying, case.threads)
    return _FASTER[case]


def _on_bytes(layer: _Layer, inputs: int) -> Callable[[], object]:
    x = layer.input_encoding.empty(_TOKENS, inputs).values
    x.view(torch.uint8).random_(0, 256)
    return lambda: layer(x)
