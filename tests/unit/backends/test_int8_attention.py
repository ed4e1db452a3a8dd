"""int8 attention against its twin in float64, on odd lengths and poisoned outputs; and its ranges."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_bert import SMALL, random_batch, random_tensors, round_to_nearest

from backends.bert import numpy_reference
from backends.bert.config import BertConfig
from backends.errors import BackendError
from backends.pytorch_cpu import packed_bert
from backends.pytorch_cpu.kernels import (
    Activation,
    CpuKernels,
    Encoding,
    int8_attention,
    int8_product,
    native,
    reference,
)
from backends.pytorch_cpu.kernels.base import BYTE_SHIFT, BYTES, by_row
from backends.pytorch_cpu.kernels.int8_attention import HEAD_SIZES, VARIANTS, QkvScales
from backends.pytorch_cpu.kernels.int8_product import Int8Product
from backends.quantization import attention_ranges
from backends.quantization.int8_model import QuantizedModel, read_engine, write_engine

WIDTH = 192
HEADS = WIDTH // 64
LENGTHS = [1, 2, 15, 16, 17, 63, 64, 65, 191, 384]
STEPS = 30.0  # of the context's bytes, for a value of 1


@pytest.fixture(params=VARIANTS)
def variant(request: pytest.FixtureRequest) -> str:
    if int8_attention.load(request.param) is None:
        pytest.skip("not built, or this machine lacks the instructions")
    return str(request.param)


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    """Sets torch's threads until the test's end."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def outputs_of_qkv(tokens: int) -> np.ndarray:
    """float32 [tokens, 3 H], channels of different sizes around different middles."""
    draw = np.random.default_rng(tokens)
    sizes, middles = draw.uniform(0.2, 1.5, (2, 3 * WIDTH))
    x = draw.standard_normal((tokens, 3 * WIDTH)) * sizes
    x[:, WIDTH:] += middles[WIDTH:]
    return np.asarray(x, np.float32)


def attend(
    x: np.ndarray, lengths: list[int], to: Encoding, variant: str, heads: int = HEADS
) -> tuple[Activation, torch.Tensor, torch.Tensor]:
    """The context in bytes; what the twin makes of the same bytes; what it makes of x itself."""
    scales = QkvScales(*map(torch.from_numpy, attention_ranges.of_rows(x, heads)))
    exact = torch.from_numpy(x)
    attention = int8_attention.find(scales, heads, to, variant)
    assert attention
    qkv, ends = attention.encoding.empty(*x.shape), torch.tensor([0, *lengths]).cumsum(0)
    qkv.values.fill_(77)
    reference.store(exact - scales.shift, qkv)
    found = to.empty(len(x), WIDTH)
    found.values.fill_(77)
    attention(qkv.values, ends, found)
    twin, floats = (Encoding(torch.float64).empty(len(x), WIDTH) for _ in range(2))
    int8_attention.plain(qkv.values, scales, ends, heads, twin)
    reference.ReferenceKernels().attention(exact.double(), ends, heads, floats)
    return found, twin.values, floats.values


@pytest.mark.parametrize(("in_blocks", "count"), [(False, 2), (True, 1)], ids=["by-row", "in-blocks"])
@pytest.mark.parametrize("size", HEAD_SIZES)
def test_both_are_their_twin(
    threads: Callable[[int], None], variant: str, size: int, in_blocks: bool, count: int
) -> None:
    threads(count)
    lengths = np.random.default_rng(1).permutation(LENGTHS).tolist()
    to = Encoding(BYTES, torch.full((WIDTH,), STEPS), 121 - BYTE_SHIFT, in_blocks)
    found, twin, exact = attend(outputs_of_qkv(sum(lengths)), lengths, to, variant, WIDTH // size)
    values = by_row(found.values).flatten(1)
    context = (values[: sum(lengths)].double() + BYTE_SHIFT - 121) / STEPS
    inside = (twin * STEPS + 121).clamp(0, 255).sub(121) / STEPS
    assert (context - inside).abs().max() < 0.001 + 0.5 / STEPS
    assert (context - exact.clamp(inside.min(), inside.max())).square().mean().sqrt() < 0.03
    assert (values[sum(lengths) :] == 77).all()


@pytest.mark.parametrize("size", [30, 3000])
def test_scores_that_select_one_key_and_scores_that_are_equal(variant: str, size: int) -> None:
    x = outputs_of_qkv(130)
    x[:65, : 2 * WIDTH] *= size  # of the first sample: nearly one key a query
    x[65:, : 2 * WIDTH] = 0.25
    to = Encoding(BYTES, torch.full((WIDTH,), STEPS), 121 - BYTE_SHIFT)
    found, twin, _ = attend(x, [65, 65], to, variant)
    expected = (twin * STEPS + 121).clamp(0, 255)
    assert (found.values.double() + BYTE_SHIFT - expected).abs().max() < 0.5 + 0.001 * STEPS


def test_a_long_tail_of_small_weights_counts(variant: str) -> None:
    """One key has the highest score, and the others 1/700 of its weight each, more than a third of all together."""
    x = outputs_of_qkv(384)
    x[:, :WIDTH], x[:, WIDTH : 2 * WIDTH] = 0.5, -np.log(700) / 8
    x[5, WIDTH : 2 * WIDTH] *= -1
    to = Encoding(BYTES, torch.full((WIDTH,), STEPS), 121 - BYTE_SHIFT)
    found, _, exact = attend(x, [384], to, variant)
    assert (found.values.double() + BYTE_SHIFT - (exact * STEPS + 121).clamp(0, 255)).abs().max() < 0.5 + 0.02 * STEPS


def test_a_querys_scale_times_a_keys_is_one_number_over_a_head() -> None:
    x = outputs_of_qkv(50)
    scale, shift = attention_ranges.of_rows(x, HEADS)
    query, key, value = scale.reshape(3, HEADS, -1)
    np.testing.assert_allclose(query * key, np.repeat((query * key)[:, :1], WIDTH // HEADS, axis=1), rtol=1e-5)
    steps = (x - shift) / scale
    assert np.abs(steps).max() < 127.01
    np.testing.assert_allclose(np.abs(steps[:, 2 * WIDTH :]).max(0), 127, rtol=1e-3)
    assert (shift[:WIDTH] == 0).all()
    assert value.shape == (HEADS, WIDTH // HEADS)


def test_channels_that_are_always_zero_have_a_scale() -> None:
    scale, shift = attention_ranges.of_rows(np.zeros((5, 3 * WIDTH), np.float32), HEADS)
    assert (scale > 0).all()
    assert (shift == 0).all()


def test_other_heads_and_encodings_are_left_to_the_kernels() -> None:
    scales = QkvScales(torch.ones(3 * 96), torch.zeros(3 * 96))
    assert int8_attention.find(scales, 3, Encoding(BYTES, torch.ones(96)), VARIANTS[0]) is None
    scales = QkvScales(torch.ones(3 * WIDTH), torch.zeros(3 * WIDTH))
    assert int8_attention.find(scales, HEADS, Encoding(torch.bfloat16), VARIANTS[0]) is None


def calibrated_engine(config: BertConfig) -> QuantizedModel:
    engine = round_to_nearest(config, random_tensors(config, 1))
    rows = 2.5 * np.random.default_rng(1).standard_normal((500, 3 * config.hidden_size)).astype(np.float32)
    ranges = attention_ranges.of_rows(rows, config.num_attention_heads)
    found = [ranges.tensors(f"layers.{layer}.attention") for layer in range(config.num_hidden_layers)]
    return replace(engine, tensors=dict(engine.tensors) | found[0] | found[1])


GEOMETRY = replace(SMALL, hidden_size=128, num_attention_heads=2, intermediate_size=192, num_hidden_layers=2)


def next_to(variant: str) -> tuple[CpuKernels, Int8Product | None]:
    """The kernels and the product that a model with this attention runs with."""
    name = variant if variant in native.VARIANTS else "portable"
    library = native.load(name)
    assert library
    return native.NativeKernels(name, library), int8_product.load(variant)


@torch.inference_mode()
def test_a_model_attends_in_int8_if_its_engine_has_ranges(variant: str) -> None:
    engine, batch = calibrated_engine(GEOMETRY), random_batch([1, 17, 200], seed=1)
    kernels, product = next_to(variant)
    bert = packed_bert.from_engine(engine, kernels, product)
    assert all(layer.attention for layer in bert.layers)
    tensors = random_tensors(GEOMETRY, 1)
    exact, twin = numpy_reference.infer_float(GEOMETRY, tensors, batch), numpy_reference.infer(engine, batch)
    error, of_twin = (float(np.abs(found - exact).mean()) for found in (bert(batch).numpy(), twin))
    assert error < 1.3 * of_twin  # the twin rounds all but the attention
    without = round_to_nearest(GEOMETRY, tensors)
    assert not any(layer.attention for layer in packed_bert.from_engine(without, kernels, product).layers)


def test_an_engine_keeps_its_ranges_and_lacks_none(tmp_path: Path) -> None:
    engine = calibrated_engine(GEOMETRY)
    found = read_engine(write_engine(tmp_path / "whole", engine)).attention(1)
    assert found
    np.testing.assert_array_equal(found.scale, engine.tensors["layers.1.attention.scale"])
    partly = {name: tensor for name, tensor in engine.tensors.items() if name != "layers.1.attention.shift"}
    with pytest.raises(BackendError, match=re.escape("layers.1.attention.shift")):
        read_engine(write_engine(tmp_path / "cut", replace(engine, tensors=partly)))
