"""The linear layers of a packed BERT, one class for each arithmetic: oneDNN's products, or our own.

Weights are laid out for the product once, at load. Each layer states the encoding of its input, so that the step before
it (a LayerNorm, an attention, another layer) writes that directly and nothing is converted in between.
"""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from backends.pytorch_cpu import onednn, sparse_trial, weight_zeros
from backends.pytorch_cpu.kernels import Activation, CpuKernels, Encoding, bounded, reference, sparse_product
from backends.pytorch_cpu.kernels.base import BYTE_SHIFT, BYTES, LINE_BYTES
from backends.pytorch_cpu.kernels.float_product import IN_BLOCKS, FloatProduct, FloatWeights
from backends.pytorch_cpu.kernels.int8_product import Int8Product, Int8Weights
from backends.pytorch_cpu.kernels.sparse_product import SparseProduct, SparseWeights
from backends.quantization.int8_model import QuantizedLinear

_NO_ARGUMENTS: list[float] = []  # of the operation fused after a product
_CACHED_TOKENS = 256  # whose outputs, at BERT-Large's width, the second-level cache holds until they are read again
_TYPICAL_TOKENS = 1024  # oneDNN packs weights for this number of rows, and runs any number


class LinearLayer(Protocol):
    """y = x Wᵀ + b, [T, K] -> [T, N]."""

    input_encoding: Encoding  # of x
    outputs: int  # N

    def __call__(self, x: Tensor) -> Tensor: ...


class FloatLinear:
    """In float32 or bfloat16: input and output have this dtype, the output by row or as `output`. Exact GELU on
    request. Without oneDNN's products of bfloat16, the same numbers are multiplied in float32."""

    def __init__(
        self, weight: Tensor, bias: Tensor, dtype: torch.dtype, gelu: bool = False, output: Encoding | None = None
    ) -> None:
        self.input_encoding, self.outputs = Encoding(dtype), len(bias)
        self._to = output or self.input_encoding
        self._dtype = dtype if onednn.has_bfloat16() else torch.float32
        self._weight, self._bias = (one.to(dtype).to(self._dtype) for one in (weight, bias))
        self._gelu = gelu
        self._packed = onednn.packs(self._dtype)
        if self._packed:
            self._weight = torch.ops.mkldnn._reorder_linear_weight(self._weight, _TYPICAL_TOKENS)

    def __call__(self, x: Tensor) -> Tensor:
        y = self._multiply(x.to(self._dtype)).to(x.dtype)
        return self._to.laid_out(y) if self._to.in_blocks else y

    def _multiply(self, x: Tensor) -> Tensor:
        if self._packed:
            fused, algorithm = ("gelu", "none") if self._gelu else ("none", "")
            weight = self._weight, self._bias
            return torch.ops.mkldnn._linear_pointwise(x, *weight, fused, _NO_ARGUMENTS, algorithm)  # type: ignore[no-any-return]
        y = F.linear(x, self._weight, self._bias)
        return F.gelu(y) if self._gelu else y


class FloatOwnLinear:
    """As `FloatLinear` in float32, by our own product, of inputs in blocks."""

    def __init__(
        self, product: FloatProduct, weight: Tensor, bias: Tensor, gelu: bool = False, output: Encoding = IN_BLOCKS
    ) -> None:
        self.input_encoding, self.outputs = IN_BLOCKS, len(bias)
        self._product, self._gelu, self._output = product, gelu, output
        self._weights = FloatWeights(product.panels(weight), bias)

    def __call__(self, x: Tensor) -> Tensor:
        to = self._output.empty(x.shape[1], self.outputs)
        self._product(x, self._weights, self._gelu, to)
        return to.values


def float_linear(
    weight: Tensor,
    bias: Tensor,
    dtype: torch.dtype,
    gelu: bool = False,
    product: FloatProduct | None = None,
    output: Encoding | None = None,
) -> LinearLayer:
    """The layer by oneDNN, or in float32 by `product` where it fits, with its output in blocks or as `output`."""
    outputs, inputs = weight.shape
    if product and dtype == torch.float32 and product.fits(inputs, outputs):
        return FloatOwnLinear(product, weight, bias, gelu, output or IN_BLOCKS)
    return FloatLinear(weight, bias, dtype, gelu, output)


class Int8Linear:
    """In int8: bytes in; `output` is the encoding of y, a float type, or bytes, which have one scale after GELU."""

    def __init__(self, linear: QuantizedLinear, output: Encoding, gelu: bool = False) -> None:
        self.input_encoding, self.outputs = input_encoding(linear), len(linear.bias)
        weight, bias = as_tensor(linear.weight), as_tensor(linear.bias)
        weight_scale, scale = as_tensor(linear.weight_scale), 1.0
        if output.multiplier is not None and gelu:
            scale = 1 / float(output.multiplier[0])
        elif output.multiplier is not None:  # oneDNN has one scale for all channels, but the weight's are its own
            weight_scale, bias = weight_scale * output.multiplier, bias * output.multiplier
        self._input = (linear.input_scale, self.input_encoding.zero_point)
        self._weight = (
            torch.ops.onednn.qlinear_prepack(weight, [_TYPICAL_TOKENS, weight.shape[1]]),
            weight_scale,
            torch.zeros(len(weight), dtype=torch.int32),  # zero points of the weight
            bias,
        )
        self._output = (scale, output.zero_point, output.dtype)
        self._fused = ("gelu", _NO_ARGUMENTS, "none") if gelu else ("none", _NO_ARGUMENTS, "")
        self._to = output

    def __call__(self, x: Tensor) -> Tensor:
        arguments = (*self._input, *self._weight, *self._output, *self._fused)
        y: Tensor = torch.ops.onednn.qlinear_pointwise(x, *arguments)
        return self._to.laid_out(y) if self._to.in_blocks else y


class Int8OwnLinear:
    """As `Int8Linear`, by our own product, of inputs in blocks."""

    def __init__(self, product: Int8Product, linear: QuantizedLinear, output: Encoding, gelu: bool = False) -> None:
        self.input_encoding, self.outputs = input_encoding(linear)._replace(in_blocks=True), len(linear.bias)
        self._output, self._gelu = output, gelu
        self._product, panels = product.laid_out(as_tensor(linear.weight))
        self._weights = Int8Weights(panels, *_scale_and_offset(linear))

    def __call__(self, x: Tensor) -> Tensor:
        to = self._output.empty(x.shape[1], self.outputs)
        self._product(x, self._weights, self._gelu, to)
        return to.values

    def add(self, x: Tensor, stream: Tensor) -> None:
        """stream += y; bfloat16 [T, N] in blocks."""
        self._product.add(x, self._weights, stream)


class Int8FloatLinear:
    """As `Int8Linear`, by a product of the same integers in float32, whose sums are exact to 1e-6 of the largest: for
    machines where oneDNN's are wrong, and sizes that our product does not take."""

    def __init__(self, linear: QuantizedLinear, output: Encoding, gelu: bool = False) -> None:
        self.input_encoding, self.outputs = input_encoding(linear), len(linear.bias)
        self._output, self._gelu = output, gelu
        self._sums = FloatLinear(as_tensor(linear.weight), torch.zeros(self.outputs), torch.float32)
        self._scale = as_tensor(linear.weight_scale * np.float32(linear.input_scale))
        self._bias = as_tensor(linear.bias)

    def __call__(self, x: Tensor) -> Tensor:
        y = self._sums(x.float() - self.input_encoding.zero_point) * self._scale + self._bias
        to = self._output.empty(*y.shape)
        reference.store(F.gelu(y) if self._gelu else y, to)
        return to.values


class Int8SparseLinear:
    """As `Int8Linear`, by our own product that skips zero blocks; the sums are the same integers.

    Attributes:
        skipped: weights that are multiplied with nothing.
    """

    def __init__(
        self,
        product: SparseProduct,
        linear: QuantizedLinear,
        output: Encoding,
        gelu: bool = False,
        of_outputs: bool = False,
    ) -> None:
        self.input_encoding, self.outputs = input_encoding(linear), len(linear.bias)
        self._output, self._gelu = output, gelu
        self._product, layout = product.laid_out(linear.weight, of_outputs)
        self._weights = SparseWeights(layout, *_scale_and_offset(linear))
        self.skipped = linear.weight.size - sparse_product.kept(linear.weight, of_outputs)

    def __call__(self, x: Tensor) -> Tensor:
        to = self._output.empty(sparse_product.rows_of(x), self.outputs)
        self._product(x, self._weights, self._gelu, to)
        return to.values

    def hand_panels_to(self, reader: Int8SparseLinear) -> None:
        """Let `reader` get this layer's output in panels, which neither needs to transpose, if both can."""
        of_outputs = self._weights.layout.of_outputs or reader._weights.layout.of_outputs
        if not (of_outputs or self.outputs % LINE_BYTES):
            self._output = reader.input_encoding = self._output._replace(panel_tokens=self._product.panel_tokens)


def _scale_and_offset(linear: QuantizedLinear) -> tuple[Tensor, Tensor]:
    """float32 [N] each: y = (x · weightᵀ) * scale + offset, with the bytes x as they are stored."""
    scale = linear.weight_scale * np.float32(linear.input_scale)
    sums = linear.weight.sum(1, dtype=np.int64) * (linear.input_zero_point - BYTE_SHIFT)
    offset = (linear.bias - sums * scale.astype(np.float64)).astype(np.float32)
    return as_tensor(scale), as_tensor(offset)


class Int8GeluLinear:
    """oneDNN's product, then GELU in a pass of its own: for outputs in bytes with a scale for each channel."""

    def __init__(self, linear: QuantizedLinear, output: Encoding, kernels: CpuKernels) -> None:
        self._product, self._output, self._kernels = Int8Linear(linear, between()), output, kernels
        self.input_encoding, self.outputs = self._product.input_encoding, self._product.outputs

    def __call__(self, x: Tensor) -> Tensor:
        to = self._output.empty(len(x), self.outputs)
        if self._output.in_blocks:  # of channels
            self._kernels.gelu(self._product(x), to)
            return to.values
        for start in range(0, len(x), _CACHED_TOKENS):
            rows = slice(start, start + _CACHED_TOKENS)
            self._kernels.gelu(self._product(x[rows]), Activation(to.values[rows], self._output))
        return to.values


def between(ours: bool = False) -> Encoding:
    """How an int8 product's output, oneDNN's or `ours`, is stored where no product reads it.

    Ours stores bfloat16 on any x86, and on ARM where oneDNN multiplies it; oneDNN on x86 where it multiplies it.
    From signed bytes to bfloat16 oneDNN has reference loops alone: `ref_int8` under ONEDNN_VERBOSE=1, in version 3.7.1.
    """
    of_x86 = torch.uint8 == BYTES
    has_bfloat16 = onednn.has_bfloat16()
    half = (of_x86 or has_bfloat16) if ours else (of_x86 and has_bfloat16)
    return Encoding(torch.bfloat16 if half else torch.float32)


def int8_linear(
    linear: QuantizedLinear,
    output: Encoding,
    kernels: CpuKernels,
    gelu: bool = False,
    product: Int8Product | None = None,
    sparse: SparseProduct | None = None,
    own_output: Encoding | None = None,
) -> LinearLayer:
    """The layer by `sparse` where a trial finds it faster than the dense product: ours, oneDNN's, or one in
    float32.

    `own_output`: how our products store their output, if not as `output`, which is all that oneDNN can.
    """
    outputs, inputs = linear.weight.shape
    zeros = weight_zeros.of(linear.weight)
    dense = partial(_dense_int8_linear, linear, output, own_output or output, kernels, gelu, product)
    if sparse is None or zeros.blocks < sparse_trial.LEAST:
        return dense()
    skipping = partial(Int8SparseLinear, sparse, linear, own_output or output, gelu, zeros.of_outputs)
    twentieths = round(20 * zeros.blocks)
    in_bounds = sparse.of_bounded is not None and bounded.takes(as_tensor(linear.weight))
    what = twentieths, zeros.of_outputs, in_bounds
    case = sparse_trial.Case(outputs, inputs, *what, output.dtype, gelu, torch.get_num_threads())
    return skipping() if sparse_trial.is_faster(case, skipping, dense) else dense()


def _dense_int8_linear(
    linear: QuantizedLinear,
    output: Encoding,
    own_output: Encoding,
    kernels: CpuKernels,
    gelu: bool,
    product: Int8Product | None,
) -> LinearLayer:
    outputs, inputs = linear.weight.shape
    if product and product.fits(inputs, outputs):
        return Int8OwnLinear(product, linear, own_output, gelu)
    if not onednn.has_exact_int8():
        return Int8FloatLinear(linear, output, gelu)
    if gelu and not output.has_one_scale:
        return Int8GeluLinear(linear, output, kernels)
    return Int8Linear(linear, output, gelu)


def input_encoding(linear: QuantizedLinear) -> Encoding:
    """How the input of a layer in int8 is stored: bytes."""
    factors = 1 / (linear.input_smooth * linear.input_scale)
    return Encoding(BYTES, as_tensor(factors), linear.input_zero_point - BYTE_SHIFT)


def as_tensor(array: npt.NDArray[Any]) -> Tensor:
    """A tensor that shares the array's memory, without torch's warning that mapped files are read-only."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(array)
