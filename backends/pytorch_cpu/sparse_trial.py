"""Whether an int8 product is faster sparse or dense: a trial of milliseconds on the machine that runs it.

What is faster depends on the share of zero blocks, the shape, and the dense product's instructions: AMX's tiles are
four times as fast as vectors. Layers of one shape and about one share of zeros have one trial together.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from backends.pytorch_cpu.kernels import Encoding

_TOKENS, _ROUNDS = 512, 5
_CLEARLY = 0.95  # of the other's time: at about equal times, chance decides nothing
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
    dtype: torch.dtype  # of the output
    gelu: bool
    threads: int


_FASTER: dict[Case, bool] = {}


def is_faster(case: Case, sparse: Callable[[], _Layer], dense: Callable[[], _Layer]) -> bool:
    """True if what `sparse` makes is clearly faster than what `dense` makes, on 512 tokens; tried once in a process."""
    if case not in _FASTER:
        calls = [_on_bytes(make(), case.inputs) for make in (sparse, dense)]
        _FASTER[case] = is_call_faster(calls, case.threads)
    return _FASTER[case]


def is_call_faster(calls: Sequence[Callable[[], object]], threads: int) -> bool:
    """True if the first of two is clearly faster than the other; they are called in turn."""
    # With one thread, its own time, in which other work on the core does not count.
    clock = time.thread_time if threads == 1 else time.perf_counter
    rounds = [[_seconds(call, clock) for call in calls] for _ in range(_ROUNDS + 1)]
    first_s, other_s = map(min, zip(*rounds[1:], strict=True))
    return bool(first_s < _CLEARLY * other_s)


def _on_bytes(layer: _Layer, inputs: int) -> Callable[[], object]:
    x = layer.input_encoding.empty(_TOKENS, inputs).values
    x.view(torch.uint8).random_(0, 256)
    return lambda: layer(x)


def _seconds(call: Callable[[], object], clock: Callable[[], float]) -> float:
    start_s = clock()
    call()
    return clock() - start_s
