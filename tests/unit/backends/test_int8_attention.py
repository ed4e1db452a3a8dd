"""int8 attention in AMX tiles against its twin in float64, on odd lengths and poisoned outputs; and its ranges."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from backends.pytorch_cpu.kernels import Activation, Encoding, int8_attention, int8_product
from backends.pytorch_cpu.kernels.base import by_row
from backends.pytorch_cpu.kernels.int8_attention import HEAD_SIZE, QkvScales
from backends.quantization import attention_ranges

HEADS = 3
WIDTH = HEADS * HEAD_SIZE
LENGTHS = [1, 2, 15, 16, 17, 63, 64, 65, 191, 384]
STEPS = 30.0  # of the context's bytes, for a value of 1


@pytest.fixture(params=[1, 2], ids=["1-thread", "2-threads"])
def threads(request: pytest.FixtureRequest) -> Iterator[None]:
    if int8_product.find() is None:
        pytest.skip("not built, or this machine has no AMX")
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


def outputs_of_qkv(tokens: int) -> np.ndarray:
    """float32 [tokens, 3 H], channels of different sizes around different middles."""
    draw = np.random.default_rng(tokens)
    sizes, middles = draw.uniform(0.2, 1.5, (2, 3 * WIDTH))
    x = draw.standard_normal((tokens, 3 * WIDTH)) * sizes
    x[:, WIDTH:] += middles[WIDTH:]
    return np.asarray(x, np.float32)


def attend(x: np.ndarray, lengths: list[int], to: Encoding) -> tuple[Activation, torch.Tensor, torch.Tensor]:
    """The context in bytes; what the twin makes of the same bytes; what it makes of x itself."""
    scales = QkvScales(*map(torch.from_numpy, attention_ranges.of_rows(x, HEADS)))
    exact = torch.from_numpy(x)
    steps = ((exact - scales.shift) / scales.scale).round().clamp(-128, 127).to(torch.int8)
    qkv, ends = scales.encoding.laid_out(steps), torch.tensor([0, *lengths]).cumsum(0)
    by_tiles = int8_attention.find(scales, HEADS, to)
    assert by_tiles
    found = to.empty(len(x), WIDTH)
    found.values.fill_(77)
    by_tiles(qkv, ends, found)
    twins = []
    for bytes_, how in ((qkv, scales), (exact, QkvScales(torch.ones(3 * WIDTH), torch.zeros(3 * WIDTH)))):
        twin = Encoding(torch.float64).empty(len(x), WIDTH)
        int8_attention.plain(bytes_, how, ends, HEADS, twin)
        twins.append(twin.values)
    return found, twins[0], twins[1]


@pytest.mark.parametrize("in_blocks", [False, True], ids=["by-row", "in-blocks"])
def test_tiles_are_their_twin(threads: None, in_blocks: bool) -> None:
    lengths = np.random.default_rng(1).permutation(LENGTHS).tolist()
    to = Encoding(torch.uint8, torch.full((WIDTH,), STEPS), 121, in_blocks)
    found, twin, exact = attend(outputs_of_qkv(sum(lengths)), lengths, to)
    values = by_row(found.values).flatten(1)
    context = (values[: sum(lengths)].double() - 121) / STEPS
    inside = (twin * STEPS + 121).clamp(0, 255).sub(121) / STEPS
    assert (context - inside).abs().max() < 0.03 + 0.5 / STEPS  # weights have eight bits
    assert (context - exact.clamp(inside.min(), inside.max())).square().mean().sqrt() < 0.03
    assert (values[sum(lengths) :] == 77).all()


def test_scores_that_select_one_key_and_scores_that_are_equal(threads: None) -> None:
    x = outputs_of_qkv(130)
    x[:65, : 2 * WIDTH] *= 30  # of the first sample: nearly one key a query
    x[65:, : 2 * WIDTH] = 0.25
    to = Encoding(torch.uint8, torch.full((WIDTH,), STEPS), 121)
    found, twin, _ = attend(x, [65, 65], to)
    expected = (twin * STEPS + 121).clamp(0, 255)
    assert (found.values.double() - expected).abs().max() < 0.5 + 0.03 * STEPS


def test_a_querys_scale_times_a_keys_is_one_number_over_a_head() -> None:
    x = outputs_of_qkv(50)
    scale, shift = attention_ranges.of_rows(x, HEADS)
    query, key, value = scale.reshape(3, HEADS, HEAD_SIZE)
    np.testing.assert_allclose(query * key, np.repeat((query * key)[:, :1], HEAD_SIZE, axis=1), rtol=1e-5)
    steps = (x - shift) / scale
    assert np.abs(steps).max() < 127.01
    np.testing.assert_allclose(np.abs(steps[:, 2 * WIDTH :]).max(0), 127, rtol=1e-3)
    assert (shift[:WIDTH] == 0).all()
    assert value.shape == (HEADS, HEAD_SIZE)


def test_channels_that_are_always_zero_have_a_scale() -> None:
    scale, shift = attention_ranges.of_rows(np.zeros((5, 3 * WIDTH), np.float32), HEADS)
    assert (scale > 0).all()
    assert (shift == 0).all()


def test_other_heads_and_encodings_are_left_to_the_kernels() -> None:
    scales = QkvScales(torch.ones(3 * 96), torch.zeros(3 * 96))
    assert int8_attention.find(scales, 3, Encoding(torch.uint8, torch.ones(96))) is None
    scales = QkvScales(torch.ones(3 * WIDTH), torch.zeros(3 * WIDTH))
    assert int8_attention.find(scales, HEADS, Encoding(torch.bfloat16)) is None
