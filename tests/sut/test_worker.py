"""What an instance says before the clock starts."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_bert import SMALL, random_tensors, write_model, write_onnx

from backends.base import BackendError, Options
from backends.checkpoints import Model, find_model
from qsl import demo
from sut.worker import Worker, WorkerSpec

VOCAB = Path(__file__).resolve().parents[2] / "assets" / "demo" / "vocab.txt"


def spec(tmp_path: Path, model: Model, backend: str = "onnxruntime") -> WorkerSpec:
    dataset = tmp_path / "dev.json"
    demo.write(dataset, "dev", questions=10)
    return WorkerSpec(backend, Options(), model, "squad", dataset, VOCAB, tmp_path / "cache", ((2, 100), (1, 50)))


def test_a_graph_with_fewer_rows_than_the_vocabulary_is_named_before_the_clock(tmp_path: Path) -> None:
    directory = write_model(tmp_path / "model", SMALL, random_tensors(SMALL, 1))
    path = write_onnx(tmp_path / "model.onnx", find_model(str(directory)), {})
    with pytest.raises(BackendError, match=r"ids up to \d+ .*vocab\.txt.*fails"):
        Worker(spec(tmp_path, find_model(str(path))))


def test_it_says_how_fast_it_is(tmp_path: Path) -> None:
    slow = Worker(spec(tmp_path, Model("fake:sleep_ms=20", None, None), "fake"))
    fast = Worker(spec(tmp_path, Model("fake", None, None), "fake"))
    assert 0 < slow.ready.samples_per_s <= 50
    assert fast.ready.samples_per_s > slow.ready.samples_per_s
