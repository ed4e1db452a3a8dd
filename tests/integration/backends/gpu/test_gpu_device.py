"""The backend against its twin, in any order, with CUDA graphs too: on a GPU, or without one on an emulated GPU.

The emulated one does everything as late as the events allow (tests/support/emulated_gpu.py)."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from emulated_gpu import EmulatedGpuBackend
from small_bert import SMALL, random_batch, random_tensors, write_model

from backends import accelerators, engine_builder
from backends.base import Backend, Options
from backends.bert.checkpoints import find_model
from backends.bert.heads import HEADS
from backends.bert.model import Model
from backends.gpu.backend import GpuBackend
from backends.gpu.cpu_twin import CpuTwin

HAS_GPU = "TRITON_INTERPRET" not in os.environ  # tests/conftest.py
# Mean difference of the logits relative to their mean magnitude. fp8: tensor cores sum in fewer bits than float32 has;
# of one token, that alone is up to 0.08.
SLACK = {"fp16": 2e-3, "bf16": 0.03, "fp8": 0.1, "int8": 0.03}
# The order of work, which the emulation is about, depends on neither precision nor size.
PRECISIONS = tuple(SLACK) if HAS_GPU else ("int8",)
MANY, LONGEST = (3000, 384) if HAS_GPU else (100, 130)
LENGTHS = [1, 2, 63, 64, 65, LONGEST - 1, LONGEST]
BACKEND = GpuBackend if HAS_GPU else EmulatedGpuBackend
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
def load(ready: Callable[[str], Model], device: str) -> Load:
    def loaded(precision: str) -> Backend:
        found = BACKEND(Options(precision))
        found.load(ready(precision))
        return found

    return loaded


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    assert np.isfinite(found).all()
    return float(np.abs(found - expected).mean() / np.abs(expected).mean())


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("lengths", [[1], LENGTHS, [7] * MANY], ids=["one", "odd", "many"])
def test_the_gpu_agrees_with_its_twin(
    load: Load, ready: Callable[[str], Model], precision: str, lengths: list[int]
) -> None:
    batch = random_batch(lengths)
    found, twin = load(precision).infer(batch), CpuTwin(ready(precision), precision).infer(batch)
    assert difference(found, twin) < SLACK[precision]


def test_batches_in_flight_do_not_disturb_each_other(load: Load) -> None:
    backend = load("fp16")
    batches = [random_batch(np.random.default_rng(seed).permutation(LENGTHS).tolist(), seed) for seed in range(8)]
    expected = [backend.infer(batch) for batch in batches]
    under_way = [(backend.begin(batches[0]), expected[0])]
    for batch, answers in zip(batches[1:], expected[1:], strict=True):
        under_way.append((backend.begin(batch), answers))
        pending, before = under_way.pop(0)
        np.testing.assert_array_equal(pending.answers(), before)
        assert pending.is_ready()


def test_samples_in_flight_in_one_graph_do_not_disturb_each_other(load: Load) -> None:
    """An instance has two jobs under way; here both samples run in the graph of the same bucket."""
    backend = load("fp16")
    backend.warm_up([(1, 32)])
    samples = [random_batch([length], seed=length) for length in (20, 30, 25, 31)]
    expected = [backend.infer(sample) for sample in samples]
    for one, other in itertools.pairwise(range(len(samples))):
        pending = [backend.begin(samples[number]) for number in (one, other)]
        for number, begun in zip((one, other), pending, strict=True):
            np.testing.assert_array_equal(begun.answers(), expected[number])


@pytest.mark.parametrize("precision", PRECISIONS)
def test_graphs_and_the_pipeline_agree(load: Load, precision: str) -> None:
    streaming, graphs = load(precision), load(precision)
    graphs.warm_up([(1, LONGEST), (1, 100)])
    for length in (LONGEST, 1, 2, 63, 64, 65, LONGEST - 1, 31):
        sample = random_batch([length], seed=length)
        assert difference(graphs.infer(sample), streaming.infer(sample)) < SLACK[precision]


# A full bucket (32), one whose empty samples begin at its end, a full batch, and three that no graph takes.
BATCHES = [[20, 12], [1], [40, 39, 1], [7] * 5, [40] * 6, [2] * 20, [41], [40] * 7]


@pytest.mark.parametrize("head", HEADS)
def test_batches_of_several_samples_agree_too_in_any_order(head: str, tmp_path: Path, device: str) -> None:
    config = replace(SMALL, head=head)
    model = find_model(str(write_model(tmp_path / "model", config, random_tensors(config, 1))))
    launched, graphs = BACKEND(Options("fp16")), BACKEND(Options("fp16"))
    for backend in (launched, graphs):
        backend.load(model)
    graphs.warm_up([(1, 20), (6, 40)])
    batches = [random_batch(lengths, seed=seed) for seed, lengths in enumerate(BATCHES * 2)]
    begun = [graphs.begin(batches[0])]
    for before, batch in itertools.pairwise([*batches, batches[0]]):
        begun.append(graphs.begin(batch))
        assert difference(begun.pop(0).answers(), launched.infer(before)) < SLACK["fp16"]


@pytest.mark.gpu
def test_an_engine_that_was_built_here_names_this_gpus_kernels(ready: Callable[[str], Model]) -> None:
    from backends.gpu import engine

    built = ready("int8").engine
    assert isinstance(built, Path)
    assert any(key.startswith(accelerators("gpu")[0].name) for key in engine.read(built).choices)
