"""Outputs of the GPU's kernels in every encoding: poisoned before, checked after."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from backends.pytorch_cpu.kernels import Encoding

HALF, BFLOAT16, BYTE, FP8 = torch.float16, torch.bfloat16, torch.int8, torch.float8_e4m3fn
DTYPES = (HALF, BFLOAT16, BYTE, FP8)
# What rounding leaves of a value, as a share of it: half a step, or a whole one where the interpreter cuts off.
_ROUNDING = {HALF: 2**-11, BFLOAT16: 2**-7, FP8: 2**-4}
_MOST = {BYTE: (-128, 127), FP8: (-448, 448)}


def encoding(dtype: torch.dtype, width: int, seed: int = 0) -> Encoding:
    """An encoding of `dtype`; for bytes with a factor per channel such that some values are clamped."""
    if dtype in (HALF, BFLOAT16):
        return Encoding(dtype)
    factors = np.random.default_rng(seed).uniform(20, 70, width).astype(np.float32)
    return Encoding(dtype, torch.from_numpy(factors), -7 if dtype == BYTE else 0)


def on(encoding: Encoding, device: str) -> Encoding:
    return encoding if encoding.multiplier is None else encoding._replace(multiplier=encoding.multiplier.to(device))


def poisoned(dtype: torch.dtype, *shape: int, device: str = "cpu") -> Tensor:
    """127 in int8, NaN in everything else."""
    to = torch.empty(shape, dtype=dtype, device=device)
    return to.fill_(127) if dtype == BYTE else to.copy_(torch.full(shape, float("nan")))


def random(*shape: int, seed: int, size: float = 1.0) -> Tensor:
    return torch.from_numpy((size * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32))


def check(found: Tensor, exact: Tensor, encoding: Encoding, slack: float) -> None:
    """`exact` is float64; `slack` is the allowed error of the arithmetic before rounding."""
    found = found.cpu()
    if encoding.multiplier is None:
        _assert_near(found.double(), exact, slack + exact.abs() * _ROUNDING[encoding.dtype])
        return
    factors = encoding.multiplier.double().cpu()
    expected = (exact * factors + encoding.zero_point).clamp(*_MOST[encoding.dtype])
    step = (
        torch.full_like(expected, 0.5)
        if encoding.dtype == BYTE
        else (expected.abs() * _ROUNDING[FP8]).clamp(min=2**-10)
    )
    _assert_near(found.double(), expected, step + slack * factors + 1e-4)


def check_alike(found: Tensor, twin: Tensor, encoding: Encoding, slack: float) -> None:
    """Values may differ by one rounding step."""
    found, twin = found.cpu().double(), twin.cpu().double()
    step = (
        torch.ones_like(twin) if encoding.dtype == BYTE else twin.abs() * 2 * _ROUNDING.get(encoding.dtype, 0) + 2**-9
    )
    _assert_near(found, twin, step * 1.01 + (slack if encoding.multiplier is None else 0))


def _assert_near(found: Tensor, expected: Tensor, most: Tensor) -> None:
    assert torch.isfinite(found).all()
    worst = ((found - expected).abs() - most).max()
    assert worst <= 0, f"off by {float(worst):.3g} more than allowed"
