"""The matrix products of a packed BERT in PyTorch, one class per kind of arithmetic, through oneDNN where it is there.

Weights are laid out for oneDNN once, at load. A product says in what form it wants its input, so that whatever comes
before it (a LayerNorm, an attention, another product) can hand that over and nothing is converted in between.
"""

from __future__ import annotations

import platform
import warnings
from typing import Any, Protocol

import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from backends.pytorch_cpu.kernels import Form
from backends.quantization.int8_model import QuantizedLinear

_NO_ARGUMENTS: list[float] = []  # of what follows a product
_TYPICAL_TOKENS = 1024  # what oneDNN is told to lay weights out for; it runs any number


class Linear(Protocol):
    """y = x Wᵀ + b, [T, K] -> [T, N]."""

    form: Form  # of x

    def __call__(self, x: Tensor) -> Tensor: ...


class FloatLinear:
    """In float32 or bfloat16, with what `x` is in and out; GELU (the exact one) on request."""

    def __init__(self, weight: Tensor, bias: Tensor, dtype: torch.dtype, gelu: bool = False) -> None:
        self.form = Form(dtype)
        self._weight, self._bias = weight.to(dtype), bias.to(dtype)
        self._gelu = gelu
        self._packed = _has_packed_products(dtype)
        if self._packed:
            self._weight = torch.ops.mkldnn._reorder_linear_weight(self._weight, _TYPICAL_TOKENS)

    def __call__(self, x: Tensor) -> Tensor:
        if self._packed:
            then, algorithm = ("gelu", "none") if self._gelu else ("none", "")
            weight = self._weight, self._bias
            return torch.ops.mkldnn._linear_pointwise(x, *weight, then, _NO_ARGUMENTS, algorithm)  # type: ignore[no-any-return]
        y = F.linear(x, self._weight, self._bias)
        return F.gelu(y) if self._gelu else y


def _has_packed_products(dtype: torch.dtype) -> bool:
    if not (torch._C._has_mkldnn and hasattr(torch.ops.mkldnn, "_linear_pointwise")):
        return False
    return dtype == torch.float32 or has_bfloat16()


def has_bfloat16() -> bool:
    """oneDNN has bfloat16 products for this machine."""
    return bool(torch._C._has_mkldnn and torch.ops.mkldnn._is_mkldnn_bf16_supported())


class ByteLinear:
    """In int8: bytes in; `out` says what comes out, a plain type or, after GELU, bytes of that form."""

    def __init__(self, linear: QuantizedLinear, out: Form, gelu: bool = False) -> None:
        factors = 1 / (linear.input_smooth * linear.input_scale)
        # x86 multiplies unsigned bytes by signed ones; ARM's fast products take two of a kind.
        dtype, shift = (torch.int8, 128) if platform.machine() in ("aarch64", "arm64") else (torch.uint8, 0)
        self.form = Form(dtype, as_tensor(factors), linear.input_zero_point - shift)
        weight = as_tensor(linear.weight)
        self._input = (linear.input_scale, self.form.zero_point)
        self._weight = (
            torch.ops.onednn.qlinear_prepack(weight, [_TYPICAL_TOKENS, weight.shape[1]]),
            as_tensor(linear.weight_scale),
            torch.zeros(len(weight), dtype=torch.int32),  # its zero points
            as_tensor(linear.bias),
        )
        scale = 1.0 if out.multiplier is None else 1 / float(out.multiplier[0])
        self._out = (scale, out.zero_point, out.dtype)
        self._then = ("gelu", _NO_ARGUMENTS, "none") if gelu else ("none", _NO_ARGUMENTS, "")

    def __call__(self, x: Tensor) -> Tensor:
        arguments = (*self._input, *self._weight, *self._out, *self._then)
        return torch.ops.onednn.qlinear_pointwise(x, *arguments)  # type: ignore[no-any-return]


def as_tensor(array: npt.NDArray[Any]) -> Tensor:
    """The array's own memory as a tensor. torch warns of mapped files, which are read-only; we only read."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(array)
