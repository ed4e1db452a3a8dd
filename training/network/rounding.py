"""The int8 engine's arithmetic in training: inputs and weights of a layer's products rounded as they will be in a run.

    q = clip(round(x / (smooth · scale)) + zero point, 0, 255)     weights likewise, each row by its own maximum

Products stay in float32, of rounded numbers; under a GPU's autocast they are of bytes, which bf16 holds exactly.
Gradients pass a rounding as if it were none, and stop where a number is
clipped; the input's scale is learned with them (LSQ, arXiv:1902.08153), in logarithms, so that a step changes it by a
share. Adam moves each parameter by about the learning rate, which is far too little for a logarithm that has to change
by tenths: a scale's is multiplied by `pace`. Scales, zero points and `smooth` are those of
`backends.quantization.int8_model`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from backends.bert.config import LINEARS, BertConfig
from backends.quantization.int8_model import QuantizedLinear

_LEAST = 1e-12  # of a scale


class ProductRounding(nn.Module):
    """Of one product with K inputs, with a scale of start · exp(pace · change)."""

    start: Tensor
    zero_point: Tensor
    smooth: Tensor

    def __init__(self, inputs: int, pace: float) -> None:
        super().__init__()
        self.pace = pace
        self.change = nn.Parameter(torch.zeros(()))  # 0 is the calibrated range: that is where weight decay pulls
        self.register_buffer("start", torch.ones(()))
        self.register_buffer("zero_point", torch.zeros(()))
        self.register_buffer("smooth", torch.ones(inputs))

    @torch.no_grad()
    def start_from(self, linear: QuantizedLinear) -> None:
        """Take the range of a calibrated product."""
        self.start.fill_(linear.input_scale)
        self.change.zero_()
        self.zero_point.fill_(float(linear.input_zero_point))
        self.smooth.copy_(torch.from_numpy(linear.input_smooth))

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """x Wᵀ + b of rounded numbers, [T, K] → [T, N] in float32."""
        if x.is_cuda and torch.is_autocast_enabled("cuda"):
            return self.of_bytes(x, weight, bias)
        with torch.autocast(x.device.type, enabled=False):
            return F.linear(self._input(x.float()), self._weight(weight), bias)

    def of_bytes(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """`forward` with a product of bytes, in autocast's type: float32 where there is no autocast."""
        scale, scales = input_scale(self.start, self.change, self.pace), weight_scale(weight, self.smooth)
        steps = _steps(x.float(), self.smooth * scale, -self.zero_point, 255 - self.zero_point)
        weights = _steps(weight, scales[:, None] / self.smooth, None, None)
        return F.linear(steps, weights).float() * (scale * scales) + bias

    def _input(self, x: Tensor) -> Tensor:
        scale = input_scale(self.start, self.change, self.pace)
        steps = _through(x / (self.smooth * scale))
        return torch.minimum(torch.maximum(steps, -self.zero_point), 255 - self.zero_point) * scale

    def _weight(self, weight: Tensor) -> Tensor:
        balanced = weight * self.smooth
        scale = weight_scale(weight, self.smooth)[:, None]
        return _through(balanced / scale) * scale


class LayerRounding(nn.Module):
    """Of an encoder layer's four products, by their names in an engine; nothing is rounded before `is_on`."""

    def __init__(self, config: BertConfig, pace: float) -> None:
        super().__init__()
        hidden = config.hidden_size
        widths = hidden, hidden, hidden, config.intermediate_size
        self.products = nn.ModuleDict(
            {name: ProductRounding(one, pace) for name, one in zip(LINEARS, widths, strict=True)}
        )
        self.is_on = False

    def forward(self, name: str, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """The product `name`."""
        return self.products[name](x, weight, bias)  # type: ignore[no-any-return]


def input_scale(start: Tensor, change: Tensor, pace: float) -> Tensor:
    """The scale that was calibrated, and what was learned of it; all scalars."""
    return start * torch.exp(pace * change)


def weight_scale(weight: Tensor, smooth: Tensor) -> Tensor:
    """[N]: with which each row's largest magnitude becomes 127."""
    return ((weight.detach() * smooth).abs().amax(1) / 127).clamp_min(_LEAST)


def _through(x: Tensor) -> Tensor:
    """Rounded half to even, with the gradient of `x` itself."""
    return x + (x.round() - x).detach()


def _steps(x: Tensor, step: Tensor, low: Tensor | None, high: Tensor | None) -> Tensor:
    return _Steps.apply(x, step, low, high)  # type: ignore[no-any-return, no-untyped-call]


class _Steps(torch.autograd.Function):
    """clip(round(x / step), low, high) in few kernels, with gradients of x and of a step that it is broadcast over."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, step: Tensor, low: Tensor | None, high: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, step, low, high)
        steps = torch.div(x, step).round_()
        return steps if low is None else steps.clamp_(low, high)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None, None, None]:
        x, step, low, high = ctx.saved_tensors
        if low is None:
            return grad / step, None, None, None
        exact = torch.div(x, step)
        rounded = exact.round()
        to_exact = torch.where(rounded == rounded.clamp(low, high), grad, 0.0)
        to_x = to_exact / step
        to_step = -(exact.mul_(to_x)).sum(0) if ctx.needs_input_grad[1] else None
        return to_x, to_step, None, None
