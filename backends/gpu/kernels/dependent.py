"""Programmatic dependent launch: a kernel starts before its predecessor ends, and waits where it needs its results.

A small batch's kernels take microseconds, of which a launch, its first instructions and the first bytes of the weights
from memory are the larger part. Inside `launches()` each kernel may start as soon as all programs of its predecessor
have (Hopper and later). It asks for its weights, which no kernel writes, and then waits.

Every program waits before its first read or write of what kernels write, also one that has nothing to do. So a kernel
ends after its predecessor, and all that came before has ended where a wait returns: memory may be used as without it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
import triton
import triton.language as tl

_MIN_CAPABILITY = (9, 0)
_ROW = tl.constexpr("cp.async.bulk.prefetch.L2.global [$1], $2; // no result: $0")
_LINE = tl.constexpr("prefetch.global.L2 [$1]; // no result: $0")
_is_on: ContextVar[bool] = ContextVar("dependent launches", default=False)


@contextmanager
def launches(is_on: bool = True) -> Iterator[None]:
    """Whether kernels that are launched inside depend on each other in this way; only on a GPU that `can`."""
    before = _is_on.set(is_on)
    try:
        yield
    finally:
        _is_on.reset(before)


def can(device: torch.device) -> bool:
    """True for a GPU with such launches."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= _MIN_CAPABILITY


def is_on() -> bool:
    """True inside `launches`."""
    return _is_on.get()


def options(*, is_first: bool = False) -> dict[str, bool]:
    """What a kernel is launched with. The first of a pass is ordinary, and only lets the second one start early."""
    if not is_on():
        return {"dependent": False}
    return {"dependent": True} if is_first else {"dependent": True, "launch_pdl": True}


@triton.jit
def wait(dependent: tl.constexpr):
    """Lets the next kernel start, and waits until the one before has ended and its results are visible."""
    if dependent:
        tl.extra.cuda.gdc_launch_dependents()
        tl.extra.cuda.gdc_wait()


@triton.jit
def ask_for(rows, count):
    """Ask for `count` bytes at each pointer of `rows`, all multiples of 16, to be copied into the L2 cache."""
    sizes = tl.full(rows.shape, count, tl.int32)
    tl.inline_asm_elementwise(_ROW, "=r,l,r", [rows.to(tl.int64), sizes], dtype=tl.int32, is_pure=False, pack=1)


@triton.jit
def ask_for_line(at):
    """Ask for the cache line of each pointer of `at`."""
    tl.inline_asm_elementwise(_LINE, "=r,l", [at.to(tl.int64)], dtype=tl.int32, is_pure=False, pack=1)
