"""The gpu backend's forward pass on the CPU, with twins and with Triton's interpreter, against the reference model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from gpu_models import built, readable
from small_bert import SMALL, random_batch, random_tensors, write_model
from torch import Tensor

from backends import backend_class
from backends.base import Options
from backends.bert import numpy_reference
from backends.bert.checkpoints import find_model, read_tensors
from backends.bert.heads import CLASSES
from backends.bert.model import Model
from backends.gpu import gemm_tuning, pipeline
from backends.gpu.cpu_twin import CpuTwin
from backends.gpu.hopper import gemm as hopper
from backends.gpu.hopper.source import Shape
from backends.gpu.kernels import TRITON, TWIN, gemm
from backends.gpu.kernels import residual as residuals
from backends.gpu.kernels.residual import Residual
from backends.gpu.packed_bert import GpuBert
from backends.gpu.weights import Product, from_floats
from backends.quantization.calibration import CalibrationSettings, calibrate
from foundation.arrays import Float32

LENGTHS = [1, 2, 63, 64, 65, 200, 383, 384]
PRECISIONS = ("fp16", "bf16", "fp8", "int8")
# Mean difference of logits from fp32's, as a share of their mean size.
SLACK = {"fp16": 2e-3, "bf16": 0.03, "fp8": 0.2, "int8": 0.1}


def difference(found: Float32, expected: Float32) -> float:
    return float(np.abs(found - expected).mean() / np.abs(expected).mean())


@pytest.fixture(scope="module")
def small(model: Model, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Model]:
    """The small random model, by precision."""
    folder = tmp_path_factory.mktemp("small")
    samples = [random_batch([length], seed=length) for length in range(10, 90, 8)]
    return {precision: built(model, precision, samples, folder) for precision in PRECISIONS}


@pytest.mark.parametrize("precision", PRECISIONS)
def test_packed_is_padded(small: dict[str, Model], precision: str) -> None:
    batch = random_batch(np.random.default_rng(0).permutation(LENGTHS).tolist())
    found = CpuTwin(small[precision], precision).infer(batch)
    assert found.shape == (batch.tokens, 2) and found.dtype == np.float32
    assert difference(found, readable(small[precision], batch)) < SLACK[precision]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_answers_do_not_depend_on_the_batch(small: dict[str, Model], precision: str) -> None:
    twin = CpuTwin(small[precision], precision)
    alone, among = random_batch([64], seed=5), random_batch([64, 1, 383, 200], seed=5)
    np.testing.assert_allclose(twin.infer(among)[:64], twin.infer(alone), rtol=0.01, atol=0.01)


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_classifier_answers_each_sample_once(tmp_path: Path, precision: str) -> None:
    config = replace(SMALL, head=CLASSES)
    model = find_model(str(write_model(tmp_path / "model", config, random_tensors(config, 1))))
    fp32 = backend_class("pytorch")(Options(threads=2))
    fp32.load(model)
    batch, samples = random_batch([40, 33, 65]), [random_batch([length], seed=length) for length in (20, 40, 60)]
    found = CpuTwin(built(model, precision, samples, tmp_path), precision).infer(batch)
    assert found.shape == (3, 2)
    assert difference(found, fp32.infer(batch)) < SLACK[precision]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_tritons_kernels_are_their_twins(small: dict[str, Model], precision: str, device: str) -> None:
    if device == "cuda":
        pytest.skip("test_gpu_device.py compares them there")
    batch = random_batch([1, 2, 19])
    found, twin = (CpuTwin(small[precision], precision, *kernels).infer(batch) for kernels in ((TRITON,), ()))
    # A byte that rounds differently changes one answer; a wrong kernel changes all of them.
    assert difference(found, twin) < {"fp16": 1e-3, "bf16": 0.03, "fp8": 0.03, "int8": 0.02}[precision]


class Adding:
    """A Hopper product's twin: it adds the residual."""

    def __init__(self, shape: Shape, product: Product) -> None:
        self._product = product

    def __call__(self, x: Tensor, residual: Residual | None = None, /) -> Tensor:
        found = self._product
        y = torch.empty(len(x), len(found.weight), dtype=found.output_encoding.dtype)
        if residual is None:
            gemm.twin(x, found.weight, found.scale, found.bias, found.gelu, found.output_encoding, y)
            return y
        sums = x.float() @ found.weight.float().T
        sums = (sums if found.scale is None else sums * found.scale) + found.bias
        return y.copy_(sums + residuals.twin(residual))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_product_that_adds_the_residual_gives_the_same(
    small: dict[str, Model], precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is none for a CPU."""
    batch = random_batch([1, 2, 64])
    expected = CpuTwin(small[precision], precision).infer(batch)
    choices = dict.fromkeys(gemm_tuning.default(precision), next(iter(hopper.SHAPES)))
    monkeypatch.setattr(hopper, "HopperProduct", Adding)
    monkeypatch.setattr(gemm_tuning, "default", lambda _: choices)
    found = CpuTwin(small[precision], precision).infer(batch)
    assert not np.array_equal(found, expected)
    assert difference(found, expected) < {"fp16": 2e-3, "bf16": 0.03, "fp8": 0.06, "int8": 0.03}[precision]


def test_int8_is_the_engine_that_the_cpu_runs(model: Model, tmp_path: Path) -> None:
    samples = [random_batch([length], seed=length) for length in (20, 40, 60)]
    batch, tensors = random_batch(LENGTHS[:6]), read_tensors(model)
    cpu = numpy_reference.infer(calibrate(SMALL, tensors, samples, CalibrationSettings(), 1), batch)
    found = CpuTwin(built(model, "int8", samples, tmp_path), "int8").infer(batch)
    assert difference(found, cpu) < 0.03  # float16 between the products changes some bytes by one


def test_tokens_beyond_a_sample_in_a_cuda_graph_do_not_reach_it(small: dict[str, Model]) -> None:
    """The batch of a CUDA graph has a fixed number of tokens; those beyond the sample do not change its answer."""
    sample, tokens = random_batch([50], seed=1), 64
    weights = from_floats(SMALL, random_tensors(SMALL, 1), torch.float16, torch.device("cpu"))
    bert = GpuBert(weights, TWIN, gemm_tuning.default("fp16"))
    numbers = torch.empty(pipeline.integers(tokens), dtype=torch.int32)
    pipeline.lay_out(random_batch([tokens], seed=2), numbers)
    for row, ids in enumerate((sample.input_ids, sample.token_type_ids, sample.position_ids)):
        numbers[row * tokens : row * tokens + 50] = torch.from_numpy(ids)
    numbers[3 * tokens + 1] = 50
    found = bert(pipeline.packed(numbers, tokens, 1, tokens))[:50].numpy()
    np.testing.assert_allclose(found, CpuTwin(small["fp16"], "fp16").infer(sample), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("lengths", [[1], [16], [17, 1], [384, 383, 2], [1] * 40], ids=str)
def test_a_batch_survives_the_layout_in_one_buffer(lengths: list[int]) -> None:
    batch = random_batch(lengths)
    numbers = torch.full((pipeline.integers(batch.tokens),), -1, dtype=torch.int32)
    used = pipeline.lay_out(batch, numbers)
    assert used <= len(numbers) and (numbers[used:] == -1).all()
    found = pipeline.packed(numbers, batch.tokens, len(batch), batch.max_length)
    for one, expected in zip(found.ids, (batch.input_ids, batch.token_type_ids, batch.position_ids), strict=True):
        np.testing.assert_array_equal(one.numpy(), expected)
        assert one.data_ptr() % 16 == 0
    np.testing.assert_array_equal(found.cu_seqlens.numpy(), batch.cu_seqlens)
