"""Our float32 product against its twin in float64: sizes, layouts, poisoned outputs, threads."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from products import poisoned
from torch import Tensor
from torch.nn import functional as F

from backends.pytorch_cpu.kernels import Activation, Encoding, float_product
from backends.pytorch_cpu.kernels.base import by_row
from backends.pytorch_cpu.kernels.float_product import IN_BLOCKS, FloatProduct, FloatWeights

OUTPUTS = 192
BY_ROW = Encoding(torch.float32)


@pytest.fixture(params=float_product.VARIANTS)
def product(request: pytest.FixtureRequest) -> FloatProduct:
    found = float_product.load(request.param)
    if found is None:
        pytest.skip(f"not built, or this machine has no {request.param}")
    return found


def random(*shape: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(shape).standard_normal(shape, np.float32))


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("gelu", [False, True], ids=["linear", "gelu"])
@pytest.mark.parametrize("encoding", [BY_ROW, IN_BLOCKS], ids=["by-row", "in-blocks"])
@pytest.mark.parametrize(("rows", "inputs"), [(1, 16), (7, 144), (45, 1040), (553, 1536)])
def test_a_product_is_its_twin(product: FloatProduct, rows: int, inputs: int, encoding: Encoding, gelu: bool) -> None:
    weight, bias, x = random(OUTPUTS, inputs) / inputs**0.5, random(OUTPUTS), IN_BLOCKS.laid_out(random(rows, inputs))
    found, exact = poisoned(encoding, rows, OUTPUTS), poisoned(BY_ROW, rows, OUTPUTS)
    product(x, FloatWeights(product.panels(weight), bias), gelu, found)
    float_product.plain(x, weight, bias, gelu, exact)
    torch.testing.assert_close(by_row(found.values).flatten(1), exact.values, rtol=1e-6, atol=3e-6)


def test_gelu_is_that_of_float32(product: FloatProduct) -> None:
    x = torch.cat([torch.linspace(-8, 8, 4000), torch.tensor([-1e3, 1e3, 0.0, -1e-20])])
    weight, found = torch.zeros(64, 16), BY_ROW.empty(len(x), 64)
    weight[:, 0] = 1
    rows = IN_BLOCKS.laid_out(F.pad(x[:, None], (0, 15)))
    product(rows, FloatWeights(product.panels(weight), torch.zeros(64)), True, found)
    error = (found.values[:, 7].double() - F.gelu(x.double())).abs()
    assert (error / x.double().abs().clamp(min=1)).max() < 4e-7


def test_nothing_is_written_beyond_the_last_row(product: FloatProduct) -> None:
    x, memory = IN_BLOCKS.empty(13, 64).values.fill_(1), torch.full((64, 64), 77.0)
    weights = FloatWeights(product.panels(torch.ones(64, 64)), torch.zeros(64))
    product(x, weights, False, Activation(memory[:13], BY_ROW))
    assert (memory[:13] == 64).all() and (memory[13:] == 77).all()


@pytest.mark.parametrize(("inputs", "outputs"), [(1000, 4096), (1024, 4090), (0, 1024), (1024, 0)])
def test_sizes_that_panels_do_not_divide_are_left_to_onednn(product: FloatProduct, inputs: int, outputs: int) -> None:
    assert product.fits(1024, 4096)
    assert not product.fits(inputs, outputs)
