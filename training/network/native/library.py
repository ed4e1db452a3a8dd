"""The library, one per instruction set, and its functions on tensors.

It is loaded after torch and shares its OpenMP runtime. Where none was built, or sizes do not fit its vectors, PyTorch's
operators do the same in `training.network.attention` and `training.network.dropout`, with other draws.
"""

from __future__ import annotations

import ctypes
import functools
from dataclasses import dataclass

import torch
from torch import Tensor

from foundation import native_library
from foundation.native_library import Function

VARIANTS = ("avx512", "avx2", "portable")  # fastest first
_DRAWS = 1 << 32
_POINTER, _WIDE, _FLOAT = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float


class _Samples(ctypes.Structure):
    _fields_ = (("qkv", _POINTER), ("cu_seqlens", _POINTER), ("count", _WIDE), ("heads", _WIDE), ("size", _WIDE))


class _Dropout(ctypes.Structure):
    _fields_ = (("seed", ctypes.c_uint64), ("dropped", ctypes.c_uint32), ("factor", _FLOAT))


class _Norm(ctypes.Structure):
    _fields_ = (("weight", _POINTER), ("bias", _POINTER), ("epsilon", _FLOAT))


_NORM = (_Norm, _Dropout, _WIDE, _WIDE)
_FUNCTIONS = {
    "width_multiple": Function((), ctypes.c_int32),
    "runs_here": Function((), ctypes.c_int32),
    "rows_of_sums": Function((), _WIDE),
    "train_attention": Function((_Samples, _Dropout, _POINTER, _POINTER)),
    "train_attention_backward": Function((_Samples, _Dropout, *[_POINTER] * 4)),
    "train_add_norm": Function((_POINTER, _POINTER, *_NORM, *[_POINTER] * 3)),
    "train_add_norm_backward": Function((*[_POINTER] * 3, *_NORM, *[_POINTER] * 3)),
    "train_gelu": Function((_POINTER, _POINTER, _WIDE, _WIDE, _POINTER)),
    "train_gelu_backward": Function((*[_POINTER] * 3, _WIDE, _WIDE, _POINTER, _POINTER)),
}


@dataclass(frozen=True)
class Draws:
    """Dropout of one call: `dropped` of 2^32 values, from a seed of torch's generator."""

    seed: int
    dropped: int

    @classmethod
    def of(cls, dropout: float) -> Draws:
        """The next draws; none where nothing is dropped."""
        seed = int(torch.empty((), dtype=torch.int64).random_()) if dropout else 0
        return cls(seed, round(dropout * _DRAWS))

    @property
    def factor(self) -> float:
        """Of what is kept."""
        return _DRAWS / (_DRAWS - self.dropped)

    def given(self) -> _Dropout:
        return _Dropout(self.seed, self.dropped, self.factor)


class Library:
    """All tensors are contiguous, float32 but for `cu_seqlens`, int32 [B + 1], and on the CPU."""

    def __init__(self, name: str, library: ctypes.CDLL) -> None:
        self.name, self._library = name, library

    def fits(self, width: int) -> bool:
        """Whether its vectors divide a head or a row of this width."""
        return not width % self._library.width_multiple()

    def attention(self, qkv: Tensor, cu_seqlens: Tensor, heads: int, draws: Draws) -> tuple[Tensor, Tensor]:
        """[T, 3H] → the mixture [T, H], and what the backward pass needs [T, heads]."""
        mixed, sums = qkv.new_empty(len(qkv), qkv.shape[1] // 3), qkv.new_empty(len(qkv), heads)
        samples = _samples(qkv, cu_seqlens, heads)
        self._library.train_attention(samples, draws.given(), mixed.data_ptr(), sums.data_ptr())
        return mixed, sums

    def attention_backward(
        self, qkv: Tensor, cu_seqlens: Tensor, draws: Draws, mixed: Tensor, sums: Tensor, grad: Tensor
    ) -> Tensor:
        """The gradient of `qkv`, from that of `mixed`."""
        grads = torch.empty_like(qkv)
        pointers = [one.data_ptr() for one in (mixed, sums, grad, grads)]
        samples = _samples(qkv, cu_seqlens, sums.shape[1])
        self._library.train_attention_backward(samples, draws.given(), *pointers)
        return grads

    def add_norm(
        self, x: Tensor, residual: Tensor, weight: Tensor, bias: Tensor, eps: float, draws: Draws
    ) -> tuple[Tensor, Tensor, Tensor]:
        """[T, H] → LayerNorm(dropout(x) + residual), the sum before it, and the figures of its rows [T, 2]."""
        made = torch.empty_like(x), torch.empty_like(x), x.new_empty(len(x), 2)
        arguments = _norm(weight, bias, eps), draws.given(), *x.shape
        self._library.train_add_norm(x.data_ptr(), residual.data_ptr(), *arguments, *[one.data_ptr() for one in made])
        return made

    def add_norm_backward(
        self, grad: Tensor, summed: Tensor, figures: Tensor, weight: Tensor, draws: Draws
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The gradients of x and the residual, and those of weight and bias [2, H]."""
        made = torch.empty_like(grad), torch.empty_like(grad), grad.new_empty(self._parts(grad), 2, grad.shape[1])
        given = [one.data_ptr() for one in (grad, summed, figures)]
        arguments = _norm(weight, weight, 0.0), draws.given(), *grad.shape  # bias and epsilon are not read
        self._library.train_add_norm_backward(*given, *arguments, *[one.data_ptr() for one in made])
        return made[0], made[1], made[2].sum(0)

    def gelu(self, x: Tensor, bias: Tensor) -> Tensor:
        """GELU(x + bias), [T, N]."""
        made = torch.empty_like(x)
        self._library.train_gelu(x.data_ptr(), bias.data_ptr(), *x.shape, made.data_ptr())
        return made

    def gelu_backward(self, grad: Tensor, x: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """The gradients of x and of bias."""
        made, sums = torch.empty_like(x), x.new_empty(self._parts(x), x.shape[1])
        given = [one.data_ptr() for one in (grad, x, bias)]
        self._library.train_gelu_backward(*given, *x.shape, made.data_ptr(), sums.data_ptr())
        return made, sums.sum(0)

    def _parts(self, rows: Tensor) -> int:
        return -(-len(rows) // int(self._library.rows_of_sums()))


def _samples(qkv: Tensor, cu_seqlens: Tensor, heads: int) -> _Samples:
    size = qkv.shape[1] // 3 // heads
    return _Samples(qkv.data_ptr(), cu_seqlens.data_ptr(), len(cu_seqlens) - 1, heads, size)


def _norm(weight: Tensor, bias: Tensor, epsilon: float) -> _Norm:
    return _Norm(weight.data_ptr(), bias.data_ptr(), epsilon)


def find() -> Library | None:
    """The first variant that was built and runs on this machine; None if there is none."""
    return next((one for variant in VARIANTS if (one := load(variant))), None)


@functools.cache
def load(variant: str) -> Library | None:
    """The library of one instruction set; None if it was not built, is broken, or does not run on this machine."""
    library = native_library.load(f"training.network.native._{variant}", _FUNCTIONS)
    return None if library is None else Library(variant, library)


def for_tensors(width: int, *tensors: Tensor) -> Library | None:
    """The library, where it fits this width and takes these tensors."""
    library = find()
    fits = library is not None and library.fits(width)
    return library if fits and all(_taken(one) for one in tensors) else None


def _taken(tensor: Tensor) -> bool:
    return tensor.device.type == "cpu" and tensor.dtype == torch.float32
