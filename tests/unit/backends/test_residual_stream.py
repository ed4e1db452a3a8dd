"""The residual stream that products add to, in each instruction set: its sums, and its norm against its twin."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from backends.pytorch_cpu.kernels import Activation, EmbeddingTables, Encoding, LayerNorm, int8_product, residual_stream
from backends.pytorch_cpu.kernels.base import by_row
from backends.pytorch_cpu.kernels.int8_product import Int8Product, Int8Weights
from backends.pytorch_cpu.kernels.residual_stream import ENCODING, VARIANTS, ResidualStream

WIDTH = 192
BFLOAT16 = 2**-8  # of a value: the most that rounding changes
FLOAT = Encoding(torch.float32)
MULTIPLIER = torch.linspace(20, 40, WIDTH)
BYTES = Encoding(torch.uint8, MULTIPLIER, 120)
READERS = {
    "uint8": BYTES,
    "uint8-in-blocks": BYTES._replace(in_blocks=True),
    "int8": Encoding(torch.int8, MULTIPLIER, -8),
    "float32": FLOAT,
}


@pytest.fixture(params=VARIANTS)
def variant(request: pytest.FixtureRequest) -> str:
    if int8_product.load(request.param) is None:
        pytest.skip(f"not built, or this machine has no {request.param}")
    return str(request.param)


@pytest.fixture
def product(variant: str) -> Int8Product:
    found = int8_product.load(variant)
    assert found is not None
    return found


@pytest.fixture
def stream(variant: str) -> ResidualStream:
    found = residual_stream.load(variant)
    assert found is not None
    return found


def random(*shape: int, seed: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def stored(values: Tensor) -> Tensor:
    """Rows as a stream; what fills up its blocks is 77."""
    found = ENCODING.empty(len(values), WIDTH).values
    whole = found.as_strided((WIDTH // 32, found.stride(0) // 32, 32), found.stride())
    whole.fill_(77)
    by_row(found).copy_(values.reshape(len(values), -1, 32))
    return found


def rows_of(values: Tensor) -> Tensor:
    return by_row(values).flatten(1).double()


NORM = LayerNorm(1 + random(WIDTH, seed=1) / 4, random(WIDTH, seed=2), 1e-12)


@pytest.mark.parametrize(("tokens", "inputs"), [(1, 64), (45, 1088), (352, 4096)])
def test_a_product_adds_to_the_stream(product: Int8Product, tokens: int, inputs: int) -> None:
    rng = np.random.default_rng(inputs)
    x = Encoding(torch.uint8, in_blocks=True).empty(tokens, inputs).values
    x[:] = torch.from_numpy(rng.integers(0, 256, x.shape, dtype=np.uint8))
    weight = torch.from_numpy(rng.integers(-127, 128, (WIDTH, inputs), dtype=np.int8))
    scale, offset = torch.full((WIDTH,), 1e-4 / inputs**0.5), random(WIDTH, seed=3)
    added, to = FLOAT.empty(tokens, WIDTH), stored(3 * random(tokens, WIDTH, seed=4))
    int8_product.plain(x, weight, scale, offset, False, added)
    expected = rows_of(to) + added.values.double()
    product.add(x, Int8Weights(product.panels(weight), scale, offset), to)
    torch.testing.assert_close(rows_of(to), expected, rtol=BFLOAT16, atol=1e-5)
    beyond = to.as_strided((WIDTH // 32, to.stride(0) // 32, 32), to.stride())[:, tokens:]
    assert (beyond == 77).all()


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("tokens", [1, 4, 47])
def test_a_norm_is_its_twin(stream: ResidualStream, tokens: int, name: str) -> None:
    values = 3 * random(tokens, WIDTH, seed=tokens) + 1
    values[-1] = 1000 + torch.arange(WIDTH) % 2 * 8  # all of a row's squares are nearly its mean's
    (found, twin), reader = (stored(values), stored(values)), READERS[name]
    to, exact = reader.empty(tokens, WIDTH), FLOAT.empty(tokens, WIDTH)
    to.values.fill_(77)
    stream.norm(found, NORM, to)
    residual_stream.plain_norm(twin, NORM, exact)
    torch.testing.assert_close(rows_of(found), exact.values.double(), rtol=BFLOAT16, atol=1e-5)
    if reader is FLOAT:
        torch.testing.assert_close(to.values, exact.values, rtol=1e-4, atol=1e-4)
        return
    limits = torch.iinfo(reader.dtype)
    expected = (exact.values.double() * MULTIPLIER + reader.zero_point).clamp(limits.min, limits.max)
    assert (rows_of(to.values) - expected).abs().max() < 0.51


def test_an_embedding_is_the_norm_of_the_sum(stream: ResidualStream) -> None:
    tables = EmbeddingTables(random(9, WIDTH, seed=5), random(2, WIDTH, seed=6), random(5, WIDTH, seed=7))
    ids = torch.tensor([8, 0, 3, 3, 1]), torch.tensor([0, 0, 1, 1, 0]), torch.arange(5)
    to = Activation(torch.empty(5, WIDTH), FLOAT)
    found = stream.embed(ids, tables, NORM, to)
    summed = torch.stack([table[rows] for table, rows in zip(tables, ids, strict=True)]).sum(0)
    expected = torch.nn.functional.layer_norm(summed, (WIDTH,), NORM.weight, NORM.bias, NORM.epsilon)
    torch.testing.assert_close(to.values, expected, rtol=0.02, atol=0.02)  # the sum is rounded to bfloat16
    torch.testing.assert_close(rows_of(found), to.values.double(), rtol=BFLOAT16, atol=1e-5)
