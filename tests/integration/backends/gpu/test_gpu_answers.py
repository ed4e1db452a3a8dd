"""The gpu backend on the CPU, on models with meaningful answers: the demo, and one with outlier channels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gpu_models import built, readable
from small_bert import write_model

from backends import backend_class
from backends.base import Batch, Options
from backends.bert.checkpoints import find_model
from backends.bert.model import Model
from backends.gpu.cpu_twin import CpuTwin
from benchmarks import outlier_model
from foundation.arrays import Float32
from qsl import demo, squad
from sut.executors.worker import gather
from sut.fetch import resolve as asset_paths

CALIBRATED, ASKED = 24, 200  # samples
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
    """The positions of the largest start and end logit of each sample, [B, 2]."""
    return np.array([sample.argmax(0) for sample in np.split(logits, batch.cu_seqlens[1:-1])])


@pytest.mark.parametrize("precision", ["fp16", "fp8", "int8"])
def test_the_demo_has_the_answers_of_fp32(
    asked: tuple[Batch, np.ndarray], calibration_samples: list[Batch], tmp_path: Path, precision: str
) -> None:
    batch, expected = asked
    found = answers(CpuTwin(built(DEMO, precision, calibration_samples, tmp_path), precision).infer(batch), batch)
    assert (found == expected).all(1).mean() >= 0.99


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
    """BERT-Large's geometry; in every layer a few channels reach 48 while the others deviate by 1."""
    model, batch, expected = outlying
    ready = built(model, precision, outlier_model.samples(32, seed=2)[0], tmp_path)
    assert (answers(CpuTwin(ready, precision).infer(batch), batch) == expected).all(1).mean() >= 0.99
