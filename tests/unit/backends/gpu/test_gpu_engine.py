"""Engines of the gpu backend: what is folded into them, their files, and the GEMM variants that they choose."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from emulated_gpu import EmulatedGpu
from gpu_encodings import random
from small_bert import SMALL, random_batch, random_tensors, round_to_nearest

from backends import engine_builder
from backends.bert.config import LINEARS
from backends.bert.model import Model
from backends.bert.numpy_reference import linear as linear_of_twin
from backends.errors import BackendError
from backends.gpu import engine, gemm_tuning, loading, weights
from backends.gpu.builder import fold_int8, round_fp8
from backends.gpu.gemm_variants import build_variant, variants
from backends.gpu.kernels import TWIN
from backends.gpu.runtime import Work
from backends.gpu.weights import FLOATS, Product
from foundation import cpu_info

SAMPLES = [random_batch([length], seed=length) for length in range(10, 60, 8)]
CPU = torch.device("cpu")


@pytest.fixture(scope="module", params=["int8", "fp8"])
def built(request: pytest.FixtureRequest, model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("engines") / str(request.param)
    engine_builder("gpu").build(directory, model, SAMPLES, {"precision": request.param}, 1, lambda *_: None)
    return directory


def test_an_engine_does_not_depend_on_the_hosts_processor(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """On CPUs without VNNI weights have bounded groups, for the instructions of those."""
    found = []
    for adds_in_16_bits in (False, True):
        monkeypatch.setattr(cpu_info, "adds_bytes_in_16_bits", lambda it_does=adds_in_16_bits: it_does)
        assert engine_builder("pytorch").settings(model)["bounded"] is adds_in_16_bits
        found.append(engine_builder("gpu").settings(model))
    assert found[0] == found[1]


def test_folding_int8_does_not_change_the_outputs() -> None:
    """The zero point is in the bias, the scales in one factor: the outputs are the same."""
    layer = round_to_nearest(SMALL, random_tensors(SMALL, 1)).linear(1, "ffn_inner")
    layer = replace(layer, input_zero_point=77, input_smooth=np.linspace(0.5, 2, SMALL.hidden_size, dtype=np.float32))
    folded, x = fold_int8(layer), np.random.default_rng(1).standard_normal((9, SMALL.hidden_size)).astype(np.float32)
    q = np.clip(np.rint(x * folded.multiplier) + folded.zero_point, -128, 127)
    found = (q @ folded.weight.T.astype(np.float32)) * folded.scale + folded.bias
    np.testing.assert_allclose(found, linear_of_twin(layer, x), atol=1e-4)


def test_fp8_keeps_four_bits_and_has_headroom_above_the_calibration() -> None:
    weight, bias = (
        random(8, 32, seed=1).numpy() * np.logspace(-3, 3, 8, dtype=np.float32)[:, None],
        random(8, seed=2).numpy(),
    )
    layer = round_fp8(weight, bias, largest=50.0)
    values = torch.from_numpy(layer.weight).view(torch.float8_e4m3fn).float().numpy() * layer.scale[:, None]
    np.testing.assert_allclose(values * layer.multiplier, weight, rtol=2**-4, atol=np.abs(weight).max() * 1e-6)
    assert 50.0 * layer.multiplier.max() < 448 / 1.9
    assert layer.zero_point == 0


def test_an_engine_is_read_as_it_was_written_and_mapped(built: Path) -> None:
    found = engine.read(built)
    assert (found.config, found.precision) == (SMALL, built.name)
    assert {name: tensor.shape for name, tensor in found.tensors.items()} == engine.shapes(SMALL)
    assert all(isinstance(tensor, np.memmap) for tensor in found.tensors.values())
    assert found.linear(0, "qkv").weight.shape == (3 * SMALL.hidden_size, SMALL.hidden_size)
    assert found.settings == {"precision": built.name}


def test_an_engine_names_a_kernel_for_every_product_and_bucket(built: Path) -> None:
    found = json.loads((built / "engine.json").read_bytes())["choices"]
    assert set(found[gemm_tuning.DEFAULT]) == {f"{name}@{tokens}" for name in LINEARS for tokens in engine.BUCKETS}
    layer = weights.from_engine(engine.read(built), CPU).layers[0]
    for where, chosen in found[gemm_tuning.DEFAULT].items():
        assert chosen in variants(getattr(layer, where.partition("@")[0]), 1)


@pytest.mark.parametrize("broken", ["engine.json", engine.FORMAT.file])
def test_a_broken_engine_is_named(built: Path, tmp_path: Path, broken: str) -> None:
    for path in built.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes()[: -2 if path.name == broken else None])
    assert engine.FORMAT.is_complete(built) and not engine.FORMAT.is_complete(tmp_path)
    with pytest.raises(BackendError, match="sut build"):
        engine.read(tmp_path)


def products(model: Model, precision: str, built: Path) -> dict[str, Product]:
    if precision == built.name:
        found = weights.from_engine(engine.read(built), CPU)
    else:
        found = weights.from_floats(SMALL, random_tensors(SMALL, 1), weights.FLOATS[precision], CPU)
    return {name: getattr(found.layers[0], name) for name in LINEARS}


@pytest.mark.parametrize("precision", ["fp16", "bf16", "int8", "fp8"])
def test_the_librarys_gemm_agrees_with_ours(model: Model, built: Path, precision: str) -> None:
    if precision in ("int8", "fp8") and precision != built.name:
        pytest.skip("the other engine's")
    for product in products(model, precision, built).values():
        x = random(33, product.weight.shape[1], seed=3)
        x = (x if product.scale is None else x * 30).to(product.weight.dtype)
        try:
            found = build_variant("library", product, TWIN)(x)
        except (RuntimeError, NotImplementedError) as error:
            pytest.skip(f"this library has it for GPUs only: {str(error)[:80]}")
        expected = build_variant(gemm_tuning.default(precision)["ffn_inner@64"], product, TWIN)(x)
        assert found.dtype == expected.dtype == product.output_encoding.dtype
        off = (found.float() - expected.float()).abs()
        assert off.mean() <= 0.02 * expected.float().abs().mean() + 1e-6


class TimedGpu(EmulatedGpu):
    """Each call is faster than the one before, and short; each third raises `error`, after which `broken` sticks."""

    def __init__(self, error: Exception, *, every: int = 3, broken: Exception | None = None) -> None:
        super().__init__()
        self.calls, self._error, self._every, self._broken = 0, error, every, broken

    def milliseconds(self, call: Work) -> float:
        self.calls += 1
        if self.calls % self._every == 0:
            self.fault = self._broken
            raise self._error
        return 0.05 / self.calls


UNSUPPORTED = RuntimeError("CUDA error: CUBLAS_STATUS_NOT_SUPPORTED when calling `cublasLtMatmul`")
BROKEN = RuntimeError("CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be …")


@pytest.fixture(scope="module")
def layer(built: Path) -> weights.GpuLayer:
    return weights.from_engine(engine.read(built), CPU).layers[0]


def test_the_fastest_variant_is_chosen_and_never_one_that_fails(layer: weights.GpuLayer) -> None:
    names = list(variants(layer.qkv, 1))
    for every in range(2, len(names) + 1):
        chosen = gemm_tuning.measured(layer, TimedGpu(UNSUPPORTED, every=every), buckets=(32,))
        assert set(chosen) == {f"{name}@32" for name in LINEARS}
        assert chosen["qkv@32"] == (names[-2] if len(names) % every == 0 else names[-1])


def test_long_times_that_are_near_are_measured_in_turns() -> None:
    """What is measured first looks faster than it is."""
    asked: list[str] = []

    def milliseconds(one: str) -> float:
        asked.append(one)
        return {"library": 1.1, "tile": 1.06, "far": 9.0}[one]

    times = gemm_tuning.in_turns({"library": 1.0, "far": 1.2, "tile": 1.05}, milliseconds)
    assert times == pytest.approx({"library": 1.1, "tile": 1.06})
    assert asked == ["library", "tile", "tile", "library"]


@pytest.mark.parametrize("times", [{"library": 1.0, "far": 1.2}, {"library": 0.05, "tile": 0.051}])
def test_a_time_that_is_far_from_the_others_or_short_stands(times: dict[str, float]) -> None:
    def milliseconds(one: str) -> float:
        raise AssertionError(one)

    assert gemm_tuning.in_turns(times, milliseconds)["library"] == times["library"]


def test_where_no_variant_runs_nothing_is_chosen(layer: weights.GpuLayer) -> None:
    with pytest.raises(BackendError, match=r"qkv, \[32, 64\].* found none: RuntimeError: CUDA error: CUBLAS"):
        gemm_tuning.measured(layer, TimedGpu(UNSUPPORTED, every=1), buckets=(32,))


def test_a_variant_that_breaks_the_gpu_is_named(layer: weights.GpuLayer) -> None:
    second = variants(layer.qkv, 1)[1]
    with pytest.raises(BackendError, match=rf"{second} for qkv, \[32, 64\] .*illegal memory access[^\n]*$"):
        gemm_tuning.measured(layer, TimedGpu(BROKEN, every=2, broken=BROKEN), buckets=(32,))


def test_choices_are_measured_once_for_a_gpu_its_software_and_these_shapes(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    halves, brains = (weights.from_floats(SMALL, random_tensors(SMALL, 1), one, CPU) for one in FLOATS.values())

    def measured(model: weights.GpuWeights, name: str = "a GPU") -> int:
        """How many calls are timed."""
        gpu = TimedGpu(UNSUPPORTED, every=10**9)
        gpu.choices_dir, gpu.name = tmp_path / "cache", name
        chosen = loading.measure(model, gpu)
        assert set(chosen) == set(gemm_tuning.default("fp16"))
        return gpu.calls

    assert [measured(halves) > 0 for _ in range(2)] == [True, False]
    assert measured(brains) > 0 and measured(halves, "another GPU") > 0
    for path in (tmp_path / "cache").iterdir():
        path.write_bytes(path.read_bytes()[:-5])
    assert [measured(halves) > 0 for _ in range(2)] == [True, False]
    monkeypatch.setattr(torch, "__version__", "2.99.0")
    assert measured(halves) > 0
