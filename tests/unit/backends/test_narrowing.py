"""Layers without the heads and neurons that are zero: the answers of the full shapes, from smaller products."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_bert import SMALL, random_batch, random_tensors, round_to_nearest, write_model
from small_mobilebert import TINY as MOBILE

from backends import narrowing
from backends.base import Backend, Batch, Options
from backends.bert import numpy_reference
from backends.bert.checkpoints import find_model
from backends.formats.base import Tensors
from backends.onnxruntime_cpu.backend import OnnxRuntimeBackend
from backends.openvino_cpu.backend import OpenVinoBackend
from backends.pytorch_cpu import packed_bert
from backends.pytorch_cpu.backend import PyTorchBackend
from backends.pytorch_cpu.kernels import best, float_product, int8_product, sparse_product
from backends.quantization import attention_ranges
from backends.quantization.int8_model import write_engine
from foundation.arrays import Float32

CONFIG = replace(SMALL, hidden_size=256, intermediate_size=192)  # 4 heads of 64
# Of each layer: heads and neurons that are zero. The second has no head left, the third one, and no neuron.
ZEROS = (((0, 2), range(1, 181, 2)), ((0, 1, 2, 3), range(100)), ((0, 1, 3), range(192)))
WIDTHS = ((2, 128), (1, 128), (1, 64))  # that are computed
DESCRIBED = "heads 4 of 12, neurons 320 of 576"
BATCH = random_batch([1, 63, 65, 200], 1)
SLACK = {"bf16": 0.02, "int8": 0.1, "int8-dynamic": 0.1}  # of the mean answer


def pruned() -> Tensors:
    """Zero in the columns that read them; what else the heads and neurons have stays random."""
    found = random_tensors(CONFIG, 1)
    for layer, (heads, neurons) in enumerate(ZEROS):
        at, size = CONFIG.layer_name(layer), CONFIG.head_size
        for head in heads:
            found[f"{at}attention.output.dense.weight"][:, head * size : (head + 1) * size] = 0
        found[f"{at}output.dense.weight"][:, list(neurons)] = 0
    return found


TENSORS = pruned()


@torch.inference_mode()
def answers(bert: packed_bert.PackedBert, batch: Batch = BATCH) -> Float32:
    return bert(batch).float().numpy()


def widths(bert: packed_bert.PackedBert) -> tuple[tuple[int, int], ...]:
    return tuple((layer.heads, layer.ffn_inner.outputs) for layer in bert.layers)


@pytest.mark.parametrize("product", [None, float_product.find()], ids=["onednn", "ours"])
@pytest.mark.parametrize(("dtype", "slack"), [(torch.float32, 1e-6), (torch.bfloat16, 0.02)], ids=str)
def test_floats_are_those_of_the_full_shapes(
    dtype: torch.dtype, slack: float, product: float_product.FloatProduct | None
) -> None:
    tensors, described = narrowing.floats(CONFIG, TENSORS)
    kernels = best(CONFIG.hidden_size, CONFIG.head_size)
    full, narrow = (packed_bert.from_floats(CONFIG, one, dtype, kernels, product) for one in (TENSORS, tensors))
    assert str(described) == DESCRIBED and widths(narrow) == WIDTHS and widths(full) == ((4, 192),) * 3
    expected = answers(full)
    slack += 4e-6 if product else 0  # its sums have other parts where a width differs
    assert np.abs(answers(narrow) - expected).mean() <= slack * np.abs(expected).mean()


@pytest.mark.parametrize(
    "product",
    [None, *filter(None, map(int8_product.load, int8_product.VARIANTS))],
    ids=["onednn", *filter(int8_product.load, int8_product.VARIANTS)],
)
@pytest.mark.parametrize("in_int8", [False, True], ids=["attention", "int8 attention"])
def test_int8_is_that_of_the_full_shapes(product: int8_product.Int8Product | None, in_int8: bool) -> None:
    engine = round_to_nearest(CONFIG, TENSORS)
    if in_int8:
        rows = np.random.default_rng(2).standard_normal((50, 3 * CONFIG.hidden_size)).astype(np.float32)
        ranges = attention_ranges.of_rows(rows, CONFIG.num_attention_heads)
        added = {name: one for layer in range(3) for name, one in ranges.tensors(f"layers.{layer}.attention").items()}
        engine = replace(engine, tensors={**engine.tensors, **added})
    narrowed, described = narrowing.engine(engine)
    kernels = best(CONFIG.hidden_size, CONFIG.head_size)
    full, narrow = (packed_bert.from_engine(one, kernels, product, sparse_product.find()) for one in (engine, narrowed))
    assert str(described) == DESCRIBED and widths(narrow) == WIDTHS
    expected = answers(full)
    assert np.abs(answers(narrow) - expected).mean() <= 0.02 * np.abs(expected).mean()


@pytest.mark.parametrize("variant", [one for one in int8_product.VARIANTS if int8_product.load(one)])
def test_a_width_that_is_no_pair_of_blocks(variant: str) -> None:
    config = replace(CONFIG, hidden_size=96, num_attention_heads=3)
    tensors = random_tensors(config, 1)
    for layer in range(config.num_hidden_layers):
        tensors[f"{config.layer_name(layer)}attention.output.dense.weight"][:, : config.head_size] = 0
    narrowed, _ = narrowing.engine(round_to_nearest(config, tensors))
    kernels = best(config.hidden_size, config.head_size)
    ways = (int8_product.load(variant), None)
    found, expected = (answers(packed_bert.from_engine(narrowed, kernels, product)) for product in ways)
    assert np.abs(found - expected).mean() <= 0.02 * np.abs(expected).mean()


@pytest.mark.parametrize(
    ("kind", "precision"),
    [
        *((PyTorchBackend, precision) for precision in PyTorchBackend.entry.precisions),
        *((OnnxRuntimeBackend, precision) for precision in OnnxRuntimeBackend.entry.precisions),
        (OpenVinoBackend, "fp32"),
    ],
    ids=lambda one: one if isinstance(one, str) else one.name,
)
def test_an_engine_computes_narrow_layers_and_says_so(tmp_path: Path, kind: type[Backend], precision: str) -> None:
    model = find_model(str(write_model(tmp_path / "model", CONFIG, TENSORS)))
    engine = write_engine(tmp_path / "engine", round_to_nearest(CONFIG, TENSORS))
    with kind(Options(precision, threads=1)) as backend:
        backend.load(replace(model, engine=engine))
        assert str(backend.remark()).startswith(DESCRIBED)  # the zeros that fill up widths may be skipped, too
        work, found = backend.work(), backend.infer(BATCH)
    weights = sum(256 * (4 * heads * 64 + 2 * neurons) for heads, neurons in WIDTHS)
    assert work and work.attention_channels == 64 * 4
    assert work.product_weights == weights or (precision == "int8" and weights / 2 < work.product_weights < weights)
    expected = numpy_reference.infer_float(CONFIG, TENSORS, BATCH)
    assert np.abs(found - expected).mean() <= SLACK.get(precision, 1e-5) * np.abs(expected).mean()


def test_what_has_no_zeros_to_leave_out_stays_itself() -> None:
    dense = random_tensors(CONFIG, 1)
    tensors, described = narrowing.floats(CONFIG, dense)
    assert described is None and all(tensors[name] is one for name, one in dense.items())
    other = random_tensors(MOBILE, 1)
    assert narrowing.floats(MOBILE, other) == (other, None)
