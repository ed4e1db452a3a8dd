"""The sparse int8 product of each instruction set against its twin: odd sizes, any share of zeros, poisoned outputs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from products import bounded_steps
from torch import Tensor

from backends.pytorch_cpu.kernels import Activation, Encoding, bounded, int8_product, sparse_product
from backends.pytorch_cpu.kernels.base import BYTE_SHIFT, BYTES
from backends.pytorch_cpu.kernels.int8_product import Int8Weights
from backends.pytorch_cpu.kernels.sparse_product import SparseProduct, SparseWeights

WIDEST = 416
UNSIGNED, SIGNED = (
    Encoding(dtype, torch.linspace(2, 4, WIDEST), zero) for dtype, zero in ((torch.uint8, 30), (torch.int8, -98))
)
BFLOAT16, FLOAT = Encoding(torch.bfloat16), Encoding(torch.float32)
GELU_ERROR = 2e-4  # of the polynomial


@pytest.fixture(params=[*sparse_product.VARIANTS, *bounded.VARIANTS.values()])
def product(request: pytest.FixtureRequest) -> SparseProduct:
    found = sparse_product.load(request.param)
    if found is None:
        pytest.skip(f"{request.param} was not built, or this machine lacks its instructions")
    return found


@pytest.fixture(params=[False, True], ids=["of-inputs", "of-outputs"])
def of_outputs(request: pytest.FixtureRequest, product: SparseProduct) -> bool:
    if request.param and takes_bounded_alone(product):
        pytest.skip(f"{product.name} takes no blocks of outputs")
    return bool(request.param)


def takes_bounded_alone(product: SparseProduct) -> bool:
    return bounded.is_bounded(product.name)


def random_weights(
    outputs: int, inputs: int, zeros: float, of_outputs: bool, in_bounds: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """A weight of all bytes but -128 with this share of zero blocks, a scale for outputs of a few units, an offset."""
    rng = np.random.default_rng(inputs)
    weight = rng.integers(-127, 128, (outputs, inputs), dtype=np.int8)
    if in_bounds:
        weight = bounded_steps(rng, outputs, inputs)
    rows, columns = (4, 1) if of_outputs else (1, 4)
    blocks = rng.random((-(-outputs // rows), -(-inputs // columns))) < zeros
    weight[blocks.repeat(rows, 0).repeat(columns, 1)[:outputs, :inputs]] = 0
    scale = torch.from_numpy(rng.uniform(1, 2, outputs).astype(np.float32)) / (8000 * inputs**0.5)
    sums = torch.from_numpy(weight.sum(1, dtype=np.float64)) * (128 - BYTE_SHIFT) * scale.double()
    return torch.from_numpy(weight), scale, (torch.from_numpy(rng.standard_normal(outputs)) - sums).float()


def random_input(tokens: int, inputs: int) -> Tensor:
    x = np.random.default_rng(tokens).integers(0, 256, (tokens, inputs), dtype=np.uint8)
    return torch.from_numpy(x).view(BYTES)


def poisoned(encoding: Encoding, tokens: int, outputs: int) -> Activation:
    """An activation with a guard behind it: rows that no product may touch."""
    whole = encoding._replace(multiplier=None if encoding.multiplier is None else encoding.multiplier[:outputs])
    values = torch.full((tokens + 2, outputs), 77, dtype=encoding.dtype)
    return Activation(values[:tokens], whole)


def run(
    product: SparseProduct,
    x: Tensor,
    parameters: tuple[Tensor, Tensor, Tensor],
    of_outputs: bool,
    gelu: bool,
    to: Activation,
) -> None:
    weight, scale, offset = parameters
    product(x, SparseWeights(product.layout(weight.numpy(), of_outputs), scale, offset), gelu, to)
    guard = to.values.as_strided((2, to.values.shape[1]), to.values.stride(), to.values.numel())
    assert (guard == 77).all()


# Panels are whole, ragged and single; outputs and inputs are multiples of nothing; inputs fill one part or several.
SHAPES = [(1, 64, 32), (63, 130, 17), (64, 256, 128), (65, 1030, 129), (193, 2048, 416), (300, 12, 3)]


@pytest.mark.parametrize("gelu", [False, True], ids=["linear", "gelu"])
@pytest.mark.parametrize("encoding", [UNSIGNED, SIGNED, BFLOAT16, FLOAT], ids=["uint8", "int8", "bfloat16", "float32"])
@pytest.mark.parametrize(("tokens", "inputs", "outputs"), SHAPES)
def test_the_product_is_its_twin(
    product: SparseProduct, of_outputs: bool, tokens: int, inputs: int, outputs: int, encoding: Encoding, gelu: bool
) -> None:
    in_bounds = takes_bounded_alone(product)
    parameters, x = random_weights(outputs, inputs, 0.8, of_outputs, in_bounds), random_input(tokens, inputs)
    found, exact = poisoned(encoding, tokens, outputs), poisoned(FLOAT, tokens, outputs)
    run(product, x, parameters, of_outputs, gelu, found)
    int8_product.plain(x, *parameters, gelu, exact)
    error = GELU_ERROR * gelu + 2e-5
    multiplier = found.encoding.multiplier
    if multiplier is not None:
        limits = torch.iinfo(encoding.dtype)
        expected = (exact.values.double() * multiplier + encoding.zero_point).clamp(limits.min, limits.max)
        assert (found.values.double() - expected).abs().max() <= 0.5 + 4 * error
        assert len(set(found.values.flatten().tolist())) > 3
    else:
        rounding = 2**-8 if encoding is BFLOAT16 else 1e-5
        torch.testing.assert_close(found.values.float(), exact.values, rtol=rounding, atol=error)


# The last: parts of the inputs have as many rows as their places can count.
@pytest.mark.parametrize(("zeros", "inputs"), [(0.0, 1100), (0.5, 1100), (0.98, 1100), (1.0, 1100), (0.997, 8500)])
def test_any_share_of_zeros_gives_the_same_sums(
    product: SparseProduct, of_outputs: bool, threads: int, zeros: float, inputs: int
) -> None:
    weight, *_ = random_weights(300, inputs, zeros, of_outputs, takes_bounded_alone(product))
    x, found = random_input(97, inputs), poisoned(FLOAT, 97, 300)
    run(product, x, (weight, torch.ones(300), torch.zeros(300)), of_outputs, False, found)
    assert torch.equal(found.values, (x.int() @ weight.int().T).float())


# The last panel is ragged, or its second half is empty; the reader's inputs fill several parts.
@pytest.mark.parametrize(("tokens", "channels"), [(1, 64), (75, 192), (97, 1152)])
@pytest.mark.parametrize("gelu", [False, True], ids=["linear", "gelu"])
def test_panels_hand_on_what_rows_do(
    product: SparseProduct, threads: int, tokens: int, channels: int, gelu: bool
) -> None:
    shapes, in_bounds = ((channels, 130), (17, channels)), takes_bounded_alone(product)
    first, second = (random_weights(*shape, 0.8, of_outputs=False, in_bounds=in_bounds) for shape in shapes)
    rows = Encoding(BYTES, torch.linspace(2, 4, channels), 30 - BYTE_SHIFT)
    answers = []
    for encoding in (rows, rows._replace(panel_tokens=product.panel_tokens)):
        between = encoding.empty(tokens, channels)
        laid_out = [SparseWeights(product.layout(weight.numpy()), *factors) for weight, *factors in (first, second)]
        product(random_input(tokens, 130), laid_out[0], gelu, between)
        to = FLOAT.empty(sparse_product.rows_of(between.values), 17)
        product(between.values, laid_out[1], False, to)
        answers.append(to.values[:tokens])
    assert torch.equal(*answers)


def test_the_largest_sums_are_exact(product: SparseProduct, of_outputs: bool) -> None:
    pair = [-127, -1] if takes_bounded_alone(product) else [-127, -127]
    largest, weight = 255 - BYTE_SHIFT, torch.tensor([*pair, *pair, 0, 0, 0, 0], dtype=torch.int8).repeat(32, 512)
    x = torch.full((5, 4096), largest, dtype=BYTES)
    found = poisoned(FLOAT, 5, 32)
    run(product, x, (weight, torch.ones(32), torch.zeros(32)), of_outputs, False, found)
    assert set(found.values.flatten().tolist()) == {float(sum(pair) * 1024 * largest)}


@pytest.mark.parametrize("variant", bounded.VARIANTS)
def test_a_weight_gets_the_faster_product_only_if_its_sums_are_right_there(variant: str) -> None:
    product, faster = sparse_product.load(variant), sparse_product.load(bounded.VARIANTS[variant])
    if product is None or faster is None:
        pytest.skip(f"not built, or this machine has no {variant}")
    within, beyond = np.full((64, 64), 32, np.int8), np.full((64, 64), 33, np.int8)
    assert product.laid_out(within)[0] is faster and product.laid_out(beyond)[0] is product
    assert product.laid_out(within, of_outputs=True)[0] is product
    with pytest.raises(ValueError, match=r"bounded groups for avx2bounded"):
        faster.layout(beyond)
    with pytest.raises(ValueError, match=r"blocks of inputs for avx2bounded"):
        faster.layout(within, of_outputs=True)


@pytest.mark.parametrize("gelu", [False, True], ids=["linear", "gelu"])
@pytest.mark.parametrize("in_blocks", [False, True], ids=["in-rows", "in-blocks"])
@pytest.mark.parametrize("encoding", [UNSIGNED, BFLOAT16, FLOAT], ids=["uint8", "bfloat16", "float32"])
def test_the_answers_of_tiles_bit_for_bit(of_outputs: bool, encoding: Encoding, in_blocks: bool, gelu: bool) -> None:
    tiles, sparse = int8_product.find(), sparse_product.find()
    if tiles is None or sparse is None:
        pytest.skip("not built, or this machine has no dense product")
    parameters, x = random_weights(192, 320, 0.7, of_outputs), random_input(416, 320)
    multiplier = None if encoding.multiplier is None else encoding.multiplier[:192]
    to = encoding._replace(multiplier=multiplier, in_blocks=in_blocks)
    dense, found = to.empty(416, 192), to.empty(416, 192)
    weight, *factors = parameters
    tiles(Encoding(BYTES, in_blocks=True).laid_out(x), Int8Weights(tiles.panels(weight), *factors), gelu, dense)
    sparse(x, SparseWeights(sparse.layout(weight.numpy(), of_outputs), *factors), gelu, found)
    assert torch.equal(found.values, dense.values)
