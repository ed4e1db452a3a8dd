"""The native functions against the same arithmetic in float64, with the same draws."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.network.native import library
from training.network.native.library import Draws, Library

HEADS, SIZE, LENGTHS, WIDTH = 3, 32, [70, 1, 16, 33, 49], 96
ENDS = torch.tensor([0, *np.cumsum(LENGTHS)], dtype=torch.int32)
TOKENS = sum(LENGTHS)
DRAWS = {"no dropout": Draws(0, 0), "dropout": Draws(7, 1 << 30)}
_WIDE = (1 << 64) - 1


@pytest.fixture(params=library.VARIANTS)
def native(request: pytest.FixtureRequest) -> Library:
    if found := library.load(request.param):
        return found
    return pytest.skip("not built, or this machine lacks its instructions")


def kept(draws: Draws, rows: int, columns: int) -> Tensor:
    """`Draws` of random.h in Python: float64 [rows, columns], 0 or the factor."""
    found = np.zeros((rows, columns), np.uint32)
    for row in range(rows):
        x = (draws.seed + row * 0x9E3779B97F4A7C15) & _WIDE
        x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & _WIDE
        x = (x ^ x >> 27) * 0x94D049BB133111EB & _WIDE
        x ^= x >> 31
        bits = np.arange(columns, dtype=np.uint32) + np.uint32(x & 0xFFFFFFFF)
        bits = (bits ^ bits >> np.uint32(16)) * np.uint32(0x21F0AAAD)
        bits = ((bits ^ bits >> np.uint32(15)) + np.uint32(x >> 32)) * np.uint32(0x735A2D97)
        found[row] = bits ^ bits >> np.uint32(15)
    return torch.from_numpy((found >= draws.dropped) * draws.factor)


def attention(qkv: Tensor, draws: Draws) -> Tensor:
    """In plain float64."""
    keep, mixed = kept(draws, TOKENS * HEADS, max(LENGTHS)).view(TOKENS, HEADS, -1), []
    for start, length in zip(ENDS.tolist(), LENGTHS, strict=False):
        own = slice(start, start + length)
        query, key, value = qkv[own].view(length, 3, HEADS, SIZE).permute(1, 2, 0, 3)
        weights = torch.softmax(query @ key.mT * SIZE**-0.5, -1) * keep[own, :, :length].transpose(0, 1)
        mixed.append((weights @ value).transpose(0, 1).flatten(1))
    return torch.cat(mixed)


@pytest.mark.parametrize("draws", DRAWS.values(), ids=DRAWS)
def test_attention_and_its_gradient(native: Library, draws: Draws) -> None:
    torch.manual_seed(1)
    qkv, grad = torch.randn(TOKENS, 3 * HEADS * SIZE) * 2, torch.randn(TOKENS, HEADS * SIZE)
    mixed, sums = native.attention(qkv, ENDS, HEADS, draws)
    grads = native.attention_backward(qkv, ENDS, draws, mixed, sums, grad)
    _same((mixed, grads), *_expected(lambda x: attention(x, draws), grad, qkv))


@pytest.mark.parametrize("draws", DRAWS.values(), ids=DRAWS)
def test_dropout_residual_and_norm_and_their_gradients(native: Library, draws: Draws) -> None:
    torch.manual_seed(1)
    x, residual, grad = (torch.randn(TOKENS, WIDTH) + 1 for _ in range(3))
    weight, bias = torch.randn(WIDTH), torch.randn(WIDTH)
    keep = kept(draws, TOKENS, WIDTH)

    def plain(x: Tensor, residual: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return F.layer_norm(x * keep + residual, (WIDTH,), weight, bias, 1e-5)

    found, summed, figures = native.add_norm(x, residual, weight, bias, 1e-5, draws)
    to_x, to_residual, sums = native.add_norm_backward(grad, summed, figures, weight, draws)
    _same((found, to_x, to_residual, *sums), *_expected(plain, grad, x, residual, weight, bias))


def test_gelu_of_a_sum_and_its_gradients(native: Library) -> None:
    torch.manual_seed(1)
    x, bias, grad = torch.linspace(-9, 9, TOKENS * WIDTH).view(TOKENS, WIDTH), torch.randn(WIDTH), torch.randn(WIDTH)
    grad = grad.expand(TOKENS, WIDTH).contiguous()
    found = native.gelu(x, bias), *native.gelu_backward(grad, x, bias)
    _same(found, *_expected(lambda x, bias: F.gelu(x + bias), grad, x, bias))


def test_nan_stays(native: Library) -> None:
    """In a query alone, and in GELU's input."""
    qkv, x, bias = torch.randn(TOKENS, 3 * HEADS * SIZE), torch.randn(TOKENS, WIDTH), torch.zeros(WIDTH)
    qkv[5, 3], x[5, 3] = torch.nan, torch.nan
    mixed = native.attention(qkv, ENDS, HEADS, DRAWS["dropout"])[0]
    assert mixed.isnan().any(1).nonzero().tolist() == [[5]] and native.gelu(x, bias).isnan().nonzero().tolist() == [
        [5, 3]
    ]


def test_draws_are_those_of_the_share_whatever_row_and_column(native: Library) -> None:
    """Of ones with a residual of 0, LayerNorm's input shows what was dropped."""
    rows, width, share = 512, 512, 0.1
    ones, zeros = torch.ones(rows, width), torch.zeros(rows, width)
    norm = nn.LayerNorm(width)
    summed = native.add_norm(ones, zeros, norm.weight, norm.bias, 1e-5, Draws.of(share))[1]
    dropped = (summed == 0).double()
    deviation = (share * (1 - share)) ** 0.5
    assert abs(dropped.mean() - share) < 5 * deviation / (rows * width) ** 0.5
    for axis in (0, 1):
        assert (dropped.mean(axis) - share).abs().max() < 5 * deviation / 512**0.5
        neighbours = dropped.narrow(axis, 0, 511) * dropped.narrow(axis, 1, 511)
        assert abs(neighbours.mean() - share**2) < 5 * share / (rows * width) ** 0.5


def test_threads_change_nothing(native: Library) -> None:
    qkv, threads = torch.randn(TOKENS, 3 * HEADS * SIZE), torch.get_num_threads()
    found = []
    for count in (1, 2):
        torch.set_num_threads(count)
        mixed, sums = native.attention(qkv, ENDS, HEADS, DRAWS["dropout"])
        found.append(native.attention_backward(qkv, ENDS, DRAWS["dropout"], mixed, sums, mixed))
    torch.set_num_threads(threads)
    torch.testing.assert_close(*found, rtol=0, atol=0)


def _expected(plain: Callable[..., Tensor], grad: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    """The result in float64, and the gradient of each input."""
    wide = [one.double().requires_grad_() for one in inputs]
    result = plain(*wide)
    return result.detach(), *torch.autograd.grad(result, wide, grad.double())


def _same(found: tuple[Tensor, ...], *expected: Tensor) -> None:
    for own, other in zip(found, expected, strict=True):
        torch.testing.assert_close(own.double(), other, rtol=1e-5, atol=2e-6 * float(other.abs().max()))
