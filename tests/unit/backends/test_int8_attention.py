"""int8 attention in AMX tiles against its twin in float64, on odd lengths and poisoned outputs; and its ranges."""

from __future__ import annotations

import re
from collections.abc import Iterator
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
from backends.pytorch_cpu.kernels import Activation, Encoding, best, int8_attention, int8_product, reference
from backends.pytorch_cpu.kernels.base import by_row
from backends.pytorch_cpu.kernels.int8_attention import HEAD_SIZES, QkvScales
from backends.quantization import attention_ranges
from backends.quantization.int8_model import QuantizedModel, read_engine, write_engine

WIDTH = 192
HEADS = WIDTH // 64
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


def attend(
    x: np.ndarray, lengths: list[int], to: Encoding, heads: int = HEADS
) -> tuple[Activation, torch.Tensor, torch.Tensor]:
    """The context in bytes; what the twin makes of the same bytes; what it makes of x itself."""
    scales = QkvScales(*map(torch.from_numpy, attention_ranges.of_rows(x, heads)))
    exact = torch.from_numpy(x)
    steps = ((exact - scales.shift) / scales.scale).round().clamp(-128, 127).to(torch.int8)
    qkv, ends = scales.encoding.laid_out(steps), torch.tensor([0, *lengths]).cumsum(0)
    by_tiles = int8_attention.find(scales, heads, to)
    assert by_tiles
    found = to.empty(len(x), WIDTH)
    found.values.fill_(77)
    by_tiles(qkv, ends, found)
    twin, floats = (Encoding(torch.float64).empty(len(x), WIDTH) for _ in range(2))
    int8_attention.plain(qkv, scales, ends, heads, twin)
    reference.ReferenceKernels().attention(exact.double(), ends, heads, floats)
    return found, twin.values, floats.values


@pytest.mark.parametrize("in_blocks", [False, True], ids=["by-row", "in-blocks"])
@pytest.mark.parametrize("size", HEAD_SIZES)
def test_tiles_are_their_twin(threads: None, size: int, in_blocks: bool) -> None:
    lengths = np.random.default_rng(1).permutation(LENGTHS).tolist()
    to = Encoding(torch.uint8, torch.full((WIDTH,), STEPS), 121, in_blocks)
    found, twin, exact = attend(outputs_of_qkv(sum(lengths)), lengths, to, WIDTH // size)
    values = by_row(found.values).flatten(1)
    context = (values[: sum(lengths)].double() - 121) / STEPS
    inside = (twin * STEPS + 121).clamp(0, 255).sub(121) / STEPS
    assert (context - inside).abs().max() < 0.01 + 0.5 / STEPS
    assert (context - exact.clamp(inside.min(), inside.max())).square().mean().sqrt() < 0.03
    assert (values[sum(lengths) :] == 77).all()


def test_scores_that_select_one_key_and_scores_that_are_equal(threads: None) -> None:
    x = outputs_of_qkv(130)
    x[:65, : 2 * WIDTH] *= 30  # of the first sample: nearly one key a query
    x[65:, : 2 * WIDTH] = 0.25
    to = Encoding(torch.uint8, torch.full((WIDTH,), STEPS), 121)
    found, twin, _ = attend(x, [65, 65], to)
    expected = (twin * STEPS + 121).clamp(0, 255)
    assert (found.values.double() - expected).abs().max() < 0.5 + 0.01 * STEPS


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
    assert int8_attention.find(scales, 3, Encoding(torch.uint8, torch.ones(96))) is None
    scales = QkvScales(torch.ones(3 * WIDTH), torch.zeros(3 * WIDTH))
    assert int8_attention.find(scales, HEADS, Encoding(torch.bfloat16)) is None


def calibrated_engine(config: BertConfig) -> QuantizedModel:
    engine = round_to_nearest(config, random_tensors(config, 1))
    rows = 2.5 * np.random.default_rng(1).standard_normal((500, 3 * config.hidden_size)).astype(np.float32)
    ranges = attention_ranges.of_rows(rows, config.num_attention_heads)
    found = [ranges.tensors(f"layers.{layer}.attention") for layer in range(config.num_hidden_layers)]
    return replace(engine, tensors=dict(engine.tensors) | found[0] | found[1])


GEOMETRY = replace(SMALL, hidden_size=128, num_attention_heads=2, intermediate_size=192, num_hidden_layers=2)


@torch.inference_mode()
def test_a_model_attends_in_int8_if_its_engine_has_ranges(threads: None) -> None:
    engine, batch = calibrated_engine(GEOMETRY), random_batch([1, 17, 200], seed=1)
    bert = packed_bert.from_engine(engine, best(128, 64), int8_product.find())
    assert all(layer.attention for layer in bert.layers)
    tensors = random_tensors(GEOMETRY, 1)
    exact, twin = numpy_reference.infer_float(GEOMETRY, tensors, batch), numpy_reference.infer(engine, batch)
    error, of_twin = (float(np.abs(found - exact).mean()) for found in (bert(batch).numpy(), twin))
    assert error < 1.3 * of_twin  # the twin rounds all but the attention
    without = round_to_nearest(GEOMETRY, tensors)
    assert not any(layer.attention for layer in packed_bert.from_engine(without, best(128, 64)).layers)


def test_an_engine_keeps_its_ranges_and_lacks_none(tmp_path: Path) -> None:
    engine = calibrated_engine(GEOMETRY)
    found = read_engine(write_engine(tmp_path / "whole", engine)).attention(1)
    assert found
    np.testing.assert_array_equal(found.scale, engine.tensors["layers.1.attention.scale"])
    partly = {name: tensor for name, tensor in engine.tensors.items() if name != "layers.1.attention.shift"}
    with pytest.raises(BackendError, match=re.escape("layers.1.attention.shift")):
        read_engine(write_engine(tmp_path / "cut", replace(engine, tensors=partly)))
