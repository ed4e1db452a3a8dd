"""Our int8 product in each instruction set against its twin in float64: sizes, layouts, poisoned outputs, threads."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from products import bounded_steps, poisoned
from torch import Tensor

from backends.pytorch_cpu.kernels import Activation, Encoding, bounded, int8_product
from backends.pytorch_cpu.kernels.base import BYTE_SHIFT, BYTES, by_row
from backends.pytorch_cpu.kernels.int8_product import VARIANTS, Int8Product, Int8Weights

OUTPUTS = 128
TO_BYTES = Encoding(BYTES, torch.full((OUTPUTS,), 3.0), 30 - BYTE_SHIFT)
BFLOAT16, FLOAT = Encoding(torch.bfloat16), Encoding(torch.float32)
IN_BLOCKS = Encoding(BYTES, in_blocks=True)
GELU_ERROR = 2e-4  # of the polynomial


@pytest.fixture(params=[*VARIANTS, *bounded.VARIANTS.values()])
def product(request: pytest.FixtureRequest) -> Int8Product:
    found = int8_product.load(request.param)
    if found is None:
        pytest.skip(f"not built, or this machine has no {request.param}")
    return found


def random_weights(outputs: int, inputs: int, variant: str) -> tuple[Tensor, Tensor, Tensor]:
    """A weight of all bytes but -128 that the variant takes, a scale for outputs of a few units, an offset."""
    rng = np.random.default_rng(inputs)
    bytes_of = bounded_steps if bounded.is_bounded(variant) else any_steps
    weight = torch.from_numpy(bytes_of(rng, outputs, inputs))
    scale = torch.from_numpy(rng.uniform(1, 2, outputs).astype(np.float32)) / (8000 * inputs**0.5)
    zero_point = weight.double().sum(1) * (128 - BYTE_SHIFT) * scale.double()
    return weight, scale, (torch.from_numpy(rng.standard_normal(outputs)) - zero_point).float()


def any_steps(rng: np.random.Generator, outputs: int, inputs: int) -> npt.NDArray[np.int8]:
    return rng.integers(-127, 128, (outputs, inputs), dtype=np.int8)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("gelu", [False, True], ids=["linear", "gelu"])
@pytest.mark.parametrize("in_blocks", [False, True], ids=["by-row", "in-blocks"])
@pytest.mark.parametrize("encoding", [TO_BYTES, BFLOAT16, FLOAT], ids=["bytes", "bfloat16", "float32"])
@pytest.mark.parametrize(("rows", "inputs"), [(1, 64), (45, 1088), (352, 4096)])
def test_a_product_is_its_twin(
    product: Int8Product, rows: int, inputs: int, encoding: Encoding, in_blocks: bool, gelu: bool
) -> None:
    weight, scale, offset = random_weights(OUTPUTS, inputs, product.variant)
    x = IN_BLOCKS.empty(rows, inputs).values
    x[:] = torch.from_numpy(np.random.default_rng(rows).integers(0, 256, x.shape, dtype=np.uint8)).view(BYTES)
    found, exact = (
        poisoned(encoding._replace(in_blocks=in_blocks), rows, OUTPUTS),
        poisoned(FLOAT, rows, OUTPUTS),
    )
    product(x, Int8Weights(product.panels(weight), scale, offset), gelu, found)
    int8_product.plain(x, weight, scale, offset, gelu, exact)
    error = GELU_ERROR * gelu + 2e-5
    values = by_row(found.values).flatten(1)
    if encoding is TO_BYTES:
        expected = (exact.values.double() * 3 + 30).clamp(0, 255)
        assert (values.double() + BYTE_SHIFT - expected).abs().max() <= 0.5 + 3 * error
        assert len(set(values.flatten().tolist())) > 5
    else:
        rounding = 2**-8 if encoding is BFLOAT16 else 1e-5
        torch.testing.assert_close(values.float(), exact.values, rtol=rounding, atol=error)


@pytest.mark.parametrize("tokens", [1, 32, 188, 1502])
def test_blocks_of_channels_lie_in_different_sets_of_the_cache(tokens: int) -> None:
    blocks = IN_BLOCKS.empty(tokens, 128).values
    assert blocks.shape == (2, tokens, 64) and blocks.stride(0) % 2048 and blocks.stride(0) >= -(-tokens // 32) * 2048


def test_nothing_is_written_beyond_the_last_row(product: Int8Product) -> None:
    x, weight = IN_BLOCKS.empty(13, 64).values.fill_(1), torch.ones(OUTPUTS, 64, dtype=torch.int8)
    memory = torch.full((64, OUTPUTS), 77.0)
    weights = Int8Weights(product.panels(weight), torch.ones(OUTPUTS), torch.zeros(OUTPUTS))
    product(x, weights, False, Activation(memory[:13], FLOAT))
    assert (memory[:13] == 64).all() and (memory[13:] == 77).all()


@pytest.mark.parametrize("sign", [1, -1])
def test_the_largest_sums_are_exact(product: Int8Product, sign: int) -> None:
    largest, steps = 255 - BYTE_SHIFT, torch.full((8,), 127, dtype=torch.int8)
    if bounded.is_bounded(product.variant):
        steps = torch.tensor([127, 1, 64, 0, 0, 0, 64, 0], dtype=torch.int8)
    weight = (sign * steps).repeat(32, 512)
    x = IN_BLOCKS.empty(33, 4096).values.fill_(largest)
    found = FLOAT.empty(33, 32)
    product(x, Int8Weights(product.panels(weight), torch.ones(32), torch.zeros(32)), False, found)
    assert set(found.values.flatten().tolist()) == {float(sign * steps.sum() * 512 * largest)}


@pytest.mark.parametrize("variant", bounded.VARIANTS)
def test_a_weight_gets_the_faster_product_only_if_its_sums_are_right_there(variant: str) -> None:
    product, faster = int8_product.load(variant), int8_product.load(bounded.VARIANTS[variant])
    if product is None or faster is None:
        pytest.skip(f"not built, or this machine has no {variant}")
    within = torch.full((32, 64), 32, dtype=torch.int8)
    beyond = within.clone()
    beyond[31, 63] = 33
    smallest = torch.full((32, 64), -128, dtype=torch.int8)
    for weight, expected in ((within, faster), (beyond, product), (smallest, product)):
        chosen, panels = product.laid_out(weight)
        assert chosen is expected and torch.equal(panels, expected.panels(weight))
    for weight in (beyond, smallest):
        with pytest.raises(ValueError, match=r"bounded groups for avx2bounded"):
            faster.panels(weight)


def test_sizes_that_panels_do_not_divide_are_left_to_onednn(product: Int8Product) -> None:
    assert product.fits(1024, 4096)
    assert not product.fits(1000, 4096)
    assert not product.fits(1024, 4090)
