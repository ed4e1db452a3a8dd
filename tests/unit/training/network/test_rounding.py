"""int8's product of bytes, as on a GPU, is the product of rounded numbers, with its gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from training.network.rounding import ProductRounding


def rounding(inputs: int) -> ProductRounding:
    found = ProductRounding(inputs, pace=2.0)
    found.start.fill_(0.02)
    found.zero_point.fill_(100.0)
    found.smooth.copy_(torch.linspace(0.5, 2, inputs))
    with torch.no_grad():
        found.change.fill_(0.1)
    return found


def test_a_product_of_bytes_is_that_of_rounded_numbers() -> None:
    torch.manual_seed(1)
    x, weight, bias = torch.randn(40, 12) * 2, torch.randn(7, 12), torch.randn(7)
    module, to = rounding(12), torch.randn(40, 7)
    steps = (x / (module.smooth * module.start * torch.exp(2 * module.change.detach()))).round()
    x[(steps == -100) | (steps == 155)] = 0.0  # where one passes half of a gradient, and the other all
    assert (steps < -100).any() and (steps > 155).any()
    inputs = [one.requires_grad_() for one in (x, weight, bias)] + [module.change]

    def gradients(found: Tensor) -> tuple[Tensor, ...]:
        return torch.autograd.grad((found * to).sum(), inputs)

    expected, found = module(x, weight, bias), module.of_bytes(x, weight, bias)
    torch.testing.assert_close(found, expected)
    for one, other in zip(gradients(found), gradients(expected), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
