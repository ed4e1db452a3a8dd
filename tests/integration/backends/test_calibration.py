"""Calibration: what it observes and chooses, and that it keeps answers of a model with outliers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_bert import SMALL, random_batch, random_tensors

from backends.base import Batch, Options
from backends.bert.numpy_reference import infer, infer_float
from backends.errors import BackendError
from backends.formats.onnx_io_names import INPUTS
from backends.onnxruntime_cpu.graph import build as build_fp32
from backends.onnxruntime_cpu.graph_builder import BuiltGraph
from backends.onnxruntime_cpu.int8_graph import build as build_int8
from backends.onnxruntime_cpu.session import open_built
from backends.pytorch_cpu.kernels import CpuKernels, best, int8_product, native
from backends.pytorch_cpu.kernels.int8_product import Int8Product
from backends.pytorch_cpu.packed_bert import from_engine
from backends.quantization.bounded_groups import is_bounded
from backends.quantization.calibration import RANGES, CalibrationSettings, calibrate, observe, quantize
from backends.quantization.int8_model import QuantizedModel
from benchmarks import outlier_model

SETTINGS = CalibrationSettings()
NAIVE = replace(SETTINGS, ranges="minmax", alphas=(0.0,), per_channel=False, compensated=False)


@pytest.fixture(scope="module")
def tensors() -> dict[str, np.ndarray]:
    return random_tensors(SMALL, 1)


@pytest.fixture(scope="module")
def samples() -> list[Batch]:
    return [random_batch([length], seed=length) for length in (5, 30, 31, 60, 64, 90)]


def test_padding_is_not_observed(tensors: dict[str, np.ndarray], samples: list[Batch]) -> None:
    together = observe(SMALL, tensors, samples, replace(SETTINGS, rows=10**6), 1)
    alone = [observe(SMALL, tensors, [sample], replace(SETTINGS, rows=10**6), 1) for sample in samples]
    for place, site in together.items():
        assert len(site.rows) == sum(sample.tokens for sample in samples)
        np.testing.assert_allclose(site.low, np.min([one[place].low for one in alone], axis=0), atol=1e-4)
        np.testing.assert_allclose(site.high, np.max([one[place].high for one in alone], axis=0), atol=1e-4)
        np.testing.assert_array_equal(site.low, site.rows.min(0))


def test_rows_are_a_sample_of_the_tokens(tensors: dict[str, np.ndarray], samples: list[Batch]) -> None:
    sites = observe(SMALL, tensors, samples, replace(SETTINGS, rows=50), 1)
    assert {20 < len(site.rows) < 90 for site in sites.values()} == {True}
    assert all((site.rows >= site.low).all() and (site.rows <= site.high).all() for site in sites.values())


@pytest.mark.parametrize("ranges", sorted(RANGES))
@pytest.mark.parametrize("compensated", [False, True])
def test_every_calibration_stays_near_the_float_model(
    tensors: dict[str, np.ndarray], samples: list[Batch], ranges: str, compensated: bool
) -> None:
    model = calibrate(SMALL, tensors, samples, replace(SETTINGS, ranges=ranges, compensated=compensated), 1)
    batch = random_batch([40, 70], seed=99)
    expected = infer_float(SMALL, tensors, batch)
    assert np.abs(infer(model, batch) - expected).mean() < 0.1 * np.abs(expected).mean()
    for layer in range(SMALL.num_hidden_layers):
        assert model.linear(layer, "qkv").weight.min() >= -127


@pytest.mark.parametrize("compensated", [False, True])
@pytest.mark.parametrize("per_channel", [False, True])
def test_bounded_groups_stay_near_the_float_model(
    tensors: dict[str, np.ndarray], samples: list[Batch], compensated: bool, per_channel: bool
) -> None:
    free = replace(SETTINGS, compensated=compensated, per_channel=per_channel)
    models = [calibrate(SMALL, tensors, samples, one, 1) for one in (replace(free, bounded=True), free)]
    places = [(layer, name) for layer in range(SMALL.num_hidden_layers) for name in SMALL.linears()]
    assert [all(is_bounded(model.linear(*place).weight) for place in places) for model in models] == [True, False]
    batch = random_batch([40, 70], seed=99)
    expected = infer_float(SMALL, tensors, batch)
    errors = [np.abs(infer(model, batch) - expected).mean() for model in models]
    assert errors[0] < 2 * errors[1] < 0.1 * np.abs(expected).mean()


def test_a_weight_whose_bounds_would_cost_answers_has_none(
    tensors: dict[str, np.ndarray], samples: list[Batch]
) -> None:
    """Four inputs of a group have weights that are larger than all others."""
    name = "bert.encoder.layer.0.intermediate.dense.weight"
    large = tensors[name].copy()
    large[:, [0, 1, 4, 5]] = 6 * np.abs(large).max()
    model = calibrate(SMALL, tensors | {name: large}, samples, replace(SETTINGS, bounded=True), 1)
    found = {name: is_bounded(model.linear(0, name).weight) for name in SMALL.linears()}
    assert found == {"qkv": True, "attention_output": True, "ffn_inner": False, "ffn_output": True}


def test_a_weight_without_some_inputs_has_no_bounds(tensors: dict[str, np.ndarray], samples: list[Batch]) -> None:
    """A narrowed layer has other groups."""
    name = "bert.encoder.layer.0.output.dense.weight"
    pruned = tensors[name].copy()
    pruned[:, 3::7] = 0
    model = calibrate(SMALL, tensors | {name: pruned}, samples, replace(SETTINGS, bounded=True), 1)
    found = {name: is_bounded(model.linear(0, name).weight) for name in SMALL.linears()}
    assert found == {"qkv": True, "attention_output": True, "ffn_inner": True, "ffn_output": False}


def test_the_same_samples_give_the_same_model(tensors: dict[str, np.ndarray], samples: list[Batch]) -> None:
    first, second = (calibrate(SMALL, tensors, samples, SETTINGS, 1) for _ in range(2))
    for name, tensor in first.tensors.items():
        np.testing.assert_array_equal(tensor, second.tensors[name])


def test_an_unknown_calibration_is_refused() -> None:
    with pytest.raises(BackendError, match="minmax, percentile, mse"):
        CalibrationSettings(ranges="guess")


TRIED = 300
# Half as wide as BERT-Large and 4 layers, to save time; `python -m benchmarks.calibration outliers` has its width.
GEOMETRY = replace(outlier_model.geometry(4), hidden_size=512, num_attention_heads=8, intermediate_size=2048)


Run = Callable[[Batch], np.ndarray]


def onnxruntime(built: BuiltGraph) -> Run:
    """Both logits, [B, S, 2], from ONNX Runtime."""
    session = open_built(built, Options(threads=1))

    def run(batch: Batch) -> np.ndarray:
        padded = batch.padded()
        fields = (padded.input_ids, padded.attention_mask, padded.token_type_ids)
        return np.stack(session.run(None, dict(zip(INPUTS, fields, strict=True))), axis=-1)

    return run


def pytorch(model: QuantizedModel, product: Int8Product | None, kernels: CpuKernels) -> Run:
    """The same from the packed engine; all samples have the same length."""
    bert = from_engine(model, kernels, product)

    @torch.inference_mode()
    def run(batch: Batch) -> np.ndarray:
        return bert(batch).numpy().reshape(len(batch), -1, 2)

    return run


def answers(run: Run, trial: list[Batch]) -> np.ndarray:
    """The positions of the largest start and end logit of each sample, int64 [TRIED, 2]."""
    batches = [outlier_model.together(trial[start : start + 20]) for start in range(0, len(trial), 20)]
    return np.concatenate([run(batch).argmax(1) for batch in batches])


def test_calibration_keeps_answers_that_naive_rounding_of_outliers_loses() -> None:
    tensors = outlier_model.build(GEOMETRY)
    trial, right = outlier_model.samples(TRIED, seed=1)
    expected = answers(onnxruntime(build_fp32(GEOMETRY, tensors)), trial)
    assert (expected == right).all(1).mean() > 0.85  # the answers are meaningful
    sites = observe(GEOMETRY, tensors, outlier_model.samples(32, seed=2)[0], SETTINGS, 1)
    for (_, name), site in sites.items():
        if name in ("qkv", "ffn_inner"):
            size = np.maximum(np.abs(site.low), np.abs(site.high))
            rest = site.rows[:, size < 20].std()
            assert np.sum(np.abs(site.rows).mean(0) > 20 * rest) == outlier_model.CHANNELS

    def agreement(run: Run) -> float:
        return float((answers(run, trial) == expected).all(1).mean())

    settings = (SETTINGS, replace(SETTINGS, bounded=True), NAIVE)
    ours, in_bounds, naive = (quantize(GEOMETRY, tensors, sites, one) for one in settings)
    assert agreement(onnxruntime(build_int8(ours))) >= 0.99
    kernels, product = best(GEOMETRY.hidden_size, GEOMETRY.head_size), int8_product.find()
    assert agreement(pytorch(ours, product, kernels)) >= 0.99
    places = [(layer, name) for layer in range(GEOMETRY.num_hidden_layers) for name in GEOMETRY.linears()]
    assert all(is_bounded(in_bounds.linear(*place).weight) for place in places)
    assert agreement(pytorch(in_bounds, product, kernels)) >= 0.99
    if product and (library := native.load("avx512vnni")):
        assert agreement(pytorch(ours, None, native.NativeKernels("avx512vnni", library))) >= 0.99
    assert agreement(onnxruntime(build_int8(naive))) < 0.97
    assert agreement(pytorch(naive, product, kernels)) < 0.97
