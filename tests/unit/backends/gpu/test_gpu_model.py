"""The gpu backend's whole path on the CPU, in twins and in Triton's interpreter, against the readable model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_bert import SMALL, random_batch, random_tensors, write_model

from backends import backend_class, engine_builder
from backends.base import Batch, Options
from backends.bert import numpy_reference
from backends.bert.checkpoints import find_model, read_tensors
from backends.bert.heads import CLASSES
from backends.bert.model import Model
from backends.bert.torch_module import BertForQuestionAnswering
from backends.gpu import gemm_tuning, pipeline
from backends.gpu.cpu_twin import CpuTwin
from backends.gpu.kernels import TRITON, TWIN
from backends.gpu.packed_bert import GpuBert
from backends.gpu.weights import from_floats
from backends.quantization.calibration import CalibrationSettings, calibrate
from benchmarks import outlier_model
from foundation.arrays import Float32
from qsl import demo, squad
from sut.executors.worker import gather
from sut.fetch import resolve as asset_paths

LENGTHS = [1, 2, 63, 64, 65, 200, 383, 384]
PRECISIONS = ("fp16", "bf16", "fp8", "int8")
# Mean difference of logits from fp32's, as a share of their mean size.
SLACK = {"fp16": 2e-3, "bf16": 0.03, "fp8": 0.2, "int8": 0.1}
CALIBRATED, ASKED = 24, 200  # samples


def readable(model: Model, batch: Batch) -> Float32:
    """fp32's answers, one rectangle for all."""
    assert model.config is not None
    bert = BertForQuestionAnswering(model.config)
    bert.load_state_dict({name: torch.from_numpy(tensor) for name, tensor in read_tensors(model).items()})
    bert.eval()
    view = batch.padded()
    with torch.inference_mode():
        mask = torch.from_numpy(view.attention_mask).bool()
        return batch.pack(bert(torch.from_numpy(view.input_ids), torch.from_numpy(view.token_type_ids), mask).numpy())


def difference(found: Float32, wanted: Float32) -> float:
    return float(np.abs(found - wanted).mean() / np.abs(wanted).mean())


def built(model: Model, precision: str, samples: list[Batch], folder: Path) -> Model:
    """The model with an engine, where the precision needs one."""
    if precision not in ("fp8", "int8"):
        return model
    engine_builder("gpu").build(folder / precision, model, samples, {"precision": precision}, 2, lambda *_: None)
    return replace(model, engine=folder / precision)


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
def test_a_sample_is_answered_the_same_in_any_company(small: dict[str, Model], precision: str) -> None:
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
    # A byte that rounds the other way moves an answer; a wrong kernel moves all of them.
    assert difference(found, twin) < {"fp16": 1e-3, "bf16": 0.03, "fp8": 0.03, "int8": 0.02}[precision]


def test_int8_is_the_engine_that_the_cpu_runs(model: Model, tmp_path: Path) -> None:
    samples = [random_batch([length], seed=length) for length in (20, 40, 60)]
    batch, tensors = random_batch(LENGTHS[:6]), read_tensors(model)
    cpu = numpy_reference.infer(calibrate(SMALL, tensors, samples, CalibrationSettings(), 1), batch)
    found = CpuTwin(built(model, "int8", samples, tmp_path), "int8").infer(batch)
    assert difference(found, cpu) < 0.03  # float16 between the products turns some bytes by one


def test_what_lies_beyond_a_sample_in_a_graphs_batch_does_not_reach_it(small: dict[str, Model]) -> None:
    """A CUDA graph's batch has a fixed number of tokens; whatever lies there, the answer is the same."""
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
def test_a_batch_is_laid_out_in_one_piece_and_found_again(lengths: list[int]) -> None:
    batch = random_batch(lengths)
    numbers = torch.full((pipeline.integers(batch.tokens),), -1, dtype=torch.int32)
    used = pipeline.lay_out(batch, numbers)
    assert used <= len(numbers) and (numbers[used:] == -1).all()
    found = pipeline.packed(numbers, batch.tokens, len(batch), batch.max_length)
    for one, wanted in zip(found.ids, (batch.input_ids, batch.token_type_ids, batch.position_ids), strict=True):
        np.testing.assert_array_equal(one.numpy(), wanted)
        assert one.data_ptr() % 16 == 0
    np.testing.assert_array_equal(found.cu_seqlens.numpy(), batch.cu_seqlens)


DEMO = find_model(str(asset_paths.demo_model()))


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Batch, np.ndarray]:
    """Questions of the demo in one batch, and fp32's answers."""
    folder = tmp_path_factory.mktemp("demo")
    demo.write(folder / "dev.json", "dev", 5, ASKED)
    features = squad.load(folder / "dev.json", asset_paths.demo_model() / "vocab.txt", None).features
    batch = gather(features, np.arange(len(features)))
    fp32 = backend_class("onnxruntime")(Options(threads=2))
    fp32.load(DEMO)
    return batch, answers(fp32.infer(batch), batch)


@pytest.fixture(scope="module")
def calibration_samples(tmp_path_factory: pytest.TempPathFactory) -> list[Batch]:
    folder = tmp_path_factory.mktemp("train")
    demo.write(folder / "train.json", "train", 6, CALIBRATED)
    features = squad.load(folder / "train.json", asset_paths.demo_model() / "vocab.txt", None).features
    return [Batch.of([features.sample(index)]) for index in range(CALIBRATED)]


def answers(logits: Float32, batch: Batch) -> np.ndarray:
    """Where each sample's greatest start and end logits are, [B, 2]."""
    return np.array([sample.argmax(0) for sample in np.split(logits, batch.cu_seqlens[1:-1])])


@pytest.mark.parametrize("precision", ["fp16", "fp8", "int8"])
def test_the_demo_is_answered_as_in_fp32(
    asked: tuple[Batch, np.ndarray], calibration_samples: list[Batch], tmp_path: Path, precision: str
) -> None:
    batch, wanted = asked
    found = answers(CpuTwin(built(DEMO, precision, calibration_samples, tmp_path), precision).infer(batch), batch)
    assert (found == wanted).all(1).mean() >= 0.99


LAYERS, TRIED = 1, 40


@pytest.fixture(scope="module")
def outlying(tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Batch, np.ndarray]:
    """A model, questions, and fp32's answers."""
    config = outlier_model.geometry(LAYERS)
    folder = write_model(tmp_path_factory.mktemp("outliers") / "model", config, outlier_model.build(config))
    model, batch = find_model(str(folder)), outlier_model.together(outlier_model.samples(TRIED, seed=1)[0])
    return model, batch, answers(readable(model, batch), batch)


@pytest.mark.parametrize("precision", ["fp16", "fp8"])  # int8 is the CPU's engine: test_calibration.py
def test_a_model_with_outliers_keeps_its_answers(
    outlying: tuple[Model, Batch, np.ndarray], tmp_path: Path, precision: str
) -> None:
    """BERT-Large's geometry; in every layer a few channels at 48 where the rest deviates by 1."""
    model, batch, wanted = outlying
    ready = built(model, precision, outlier_model.samples(32, seed=2)[0], tmp_path)
    assert (answers(CpuTwin(ready, precision).infer(batch), batch) == wanted).all(1).mean() >= 0.99
