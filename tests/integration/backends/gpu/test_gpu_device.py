"""The backend on a real GPU against its twin, in any order, with CUDA graphs too. Skipped without a GPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_bert import random_batch

from backends import accelerators, backend_class, engine_builder
from backends.base import Backend, Options
from backends.bert.model import Model
from backends.gpu.cpu_twin import CpuTwin
from backends.gpu.device import of

pytestmark = pytest.mark.gpu
LENGTHS = [1, 2, 63, 64, 65, 383, 384]
SLACK = {
    "fp16": 2e-3,
    "bf16": 0.03,
    "fp8": 0.05,
    "int8": 0.03,
}  # mean difference of the logits relative to their mean magnitude
Load = Callable[[str], Backend]


@pytest.fixture(scope="module")
def ready(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Model]:
    folder = tmp_path_factory.mktemp("engines")
    samples = [random_batch([length], seed=length) for length in range(10, 90, 8)]

    def with_engine(precision: str) -> Model:
        if precision in ("fp8", "int8") and not (folder / precision).exists():
            engine_builder("gpu").build(
                folder / precision, model, samples, {"precision": precision}, 2, lambda *_: None
            )
        return replace(model, engine=folder / precision)

    return with_engine


@pytest.fixture(scope="module")
def load(ready: Callable[[str], Model]) -> Load:
    def loaded(precision: str) -> Backend:
        of(0, precision)
        found = backend_class("gpu")(Options(precision))
        found.load(ready(precision))
        return found

    return loaded


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    assert np.isfinite(found).all()
    return float(np.abs(found - expected).mean() / np.abs(expected).mean())


@pytest.mark.parametrize("precision", SLACK)
@pytest.mark.parametrize("lengths", [[1], LENGTHS, [7] * 3000], ids=["one", "odd", "many"])
def test_the_gpu_agrees_with_its_twin(
    load: Load, ready: Callable[[str], Model], precision: str, lengths: list[int]
) -> None:
    batch = random_batch(lengths)
    found, twin = load(precision).infer(batch), CpuTwin(ready(precision), precision).infer(batch)
    assert difference(found, twin) < SLACK[precision]


def test_batches_in_flight_do_not_disturb_each_other(load: Load) -> None:
    backend = load("fp16")
    batches = [random_batch(np.random.default_rng(seed).permutation(LENGTHS).tolist(), seed) for seed in range(12)]
    expected = [backend.infer(batch) for batch in batches]
    under_way = [(backend.begin(batches[0]), expected[0])]
    for batch, answers in zip(batches[1:], expected[1:], strict=True):
        under_way.append((backend.begin(batch), answers))
        pending, before = under_way.pop(0)
        np.testing.assert_array_equal(pending.answers(), before)
        assert pending.is_ready()


@pytest.mark.parametrize("precision", SLACK)
def test_graphs_and_the_pipeline_agree(load: Load, precision: str) -> None:
    streaming, graphs = load(precision), load(precision)
    graphs.warm_up([(1, 384), (1, 100)])
    for length in (384, 1, 2, 63, 64, 65, 383, 31):
        sample = random_batch([length], seed=length)
        assert difference(graphs.infer(sample), streaming.infer(sample)) < SLACK[precision]


def test_an_engine_that_was_built_here_names_this_gpus_kernels(ready: Callable[[str], Model]) -> None:
    from backends.gpu import engine

    built = ready("int8").engine
    assert isinstance(built, Path)
    assert accelerators("gpu")[0].name in engine.read(built).choices
